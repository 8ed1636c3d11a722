package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is whom the server runs as. Postgres refuses to run as root, so root lends it to somebody else; everybody else
// runs it as themselves (nil credential).
type account struct {
	name       string
	credential *syscall.Credential
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return account{}, fmt.Errorf("read user id of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return account{}, fmt.Errorf("read group id of %s: %w", name, err)
		}
		return account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, fmt.Errorf("find an account for Postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

// own gives path to the account.
func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	return os.Chown(path, int(a.credential.Uid), int(a.credential.Gid))
}

// reaches reports whether the account can pass through dir and everything above it.
func (a account) reaches(dir string) bool {
	if a.credential == nil {
		return true
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return false
		}
		mine := false
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			mine = st.Uid == a.credential.Uid && info.Mode()&0o100 != 0
		}
		if !mine && info.Mode()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// parent picks where the server's folder goes: dir if given, else a temporary directory that the account can reach (root's
// TMPDIR may be closed to everybody else).
func (a account) parent(dir string) (string, error) {
	tried := []string{dir}
	if dir == "" {
		tried = []string{os.TempDir(), "/tmp", "/var/tmp"}
	}
	for _, d := range tried {
		if a.reaches(d) {
			return d, nil
		}
	}
	return "", fmt.Errorf("place the data directory: user %s, as whom Postgres runs, cannot reach %v", a.name, tried)
}
