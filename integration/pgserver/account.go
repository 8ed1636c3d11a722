package pgserver

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Account is whom a server runs as. Postgres refuses to run as root, so root runs it as somebody
// else; everybody else runs it as themselves.
type Account struct {
	name       string
	Credential *syscall.Credential // nil: that of this process
}

// FindAccount returns the account that servers run as: of root, user postgres, or nobody.
func FindAccount() (Account, error) {
	if os.Geteuid() != 0 {
		return Account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return Account{}, fmt.Errorf("read user id of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return Account{}, fmt.Errorf("read group id of %s: %w", name, err)
		}
		return Account{name: name, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return Account{}, fmt.Errorf("find an account for Postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

// Own makes path the account's.
func (a Account) Own(path string) error {
	if a.Credential == nil {
		return nil
	}
	return os.Chown(path, int(a.Credential.Uid), int(a.Credential.Gid))
}

// reaches reports whether the account can pass through dir and everything above it.
func (a Account) reaches(dir string) bool {
	if a.Credential == nil {
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
			mine = st.Uid == a.Credential.Uid && info.Mode()&0o100 != 0
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

// Parent returns where a server's folder goes: dir if given, else a temporary directory that the
// account can reach. Root's TMPDIR may be closed to everybody else.
func (a Account) Parent(dir string) (string, error) {
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
