package kit

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// AssertNowhere fails the test for every secret that a place has, in any of its Spellings. Places
// are texts by their names.
func AssertNowhere(t TB, secrets []string, places map[string]string) {
	t.Helper()
	lower := make(map[string]string, len(places))
	for name, text := range places {
		lower[name] = strings.ToLower(text)
	}
	for i, secret := range secrets {
		for _, spelling := range Spellings(secret) {
			for _, place := range slices.Sorted(maps.Keys(lower)) {
				if strings.Contains(lower[place], strings.ToLower(spelling)) {
					t.Errorf("secret %d of %d of the test is in %s", i+1, len(secrets), place)
				}
			}
		}
	}
}

// minSpelling is how short a spelling may be and not be found by chance.
const minSpelling = 12

// Spellings are the forms in which a text would tell a secret: it, without the prefix that says
// what it is, and the key that it encodes; each as it is, as base64 at any place of what is
// encoded, and as the hexadecimal digits that bytea has.
func Spellings(secret string) []string {
	bare := secret
	for _, prefix := range []string{"whsec_", "whsk_", "tp_", "Bearer "} {
		bare = strings.TrimPrefix(bare, prefix)
	}
	raw := [][]byte{[]byte(bare)}
	if key, err := base64.StdEncoding.DecodeString(bare); err == nil && len(key) >= minSpelling {
		raw = append(raw, key)
	}
	if key, err := hex.DecodeString(bare); err == nil && len(key) >= minSpelling {
		raw = append(raw, key)
	}
	spellings := []string{bare}
	for _, r := range raw {
		spellings = append(spellings, hex.EncodeToString(r))
		for shift := range 3 {
			b64 := encodedAt(r, shift)
			spellings = append(spellings, b64, strings.NewReplacer("+", "-", "/", "_").Replace(b64), hex.EncodeToString([]byte(b64)))
		}
	}
	return slices.DeleteFunc(spellings, func(s string) bool { return len(s) < minSpelling })
}

// encodedAt is the part of some base64 that raw alone decides, where shift bytes stand before it.
func encodedAt(raw []byte, shift int) string {
	const bits, digit = 8, 6
	text := base64.StdEncoding.EncodeToString(slices.Concat(make([]byte, shift), raw))
	return text[(shift*bits+digit-1)/digit : (shift+len(raw))*bits/digit]
}

// Everything is what the database has, by table, and what its sessions ran last.
func (d *Database) Everything(t TB) map[string]string {
	t.Helper()
	rows, err := d.Query(t.Context(), `
		SELECT format('%I.%I', n.nspname, c.relname)
		FROM pg_class AS c
		JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm')
		  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
		UNION ALL
		SELECT unnest(ARRAY['pg_catalog.pg_stat_activity', 'pg_catalog.pg_replication_slots', 'pg_catalog.pg_publication',
		    'pg_catalog.pg_description', 'pg_catalog.pg_db_role_setting', 'pg_catalog.pg_proc'])`)
	if err != nil {
		t.Fatalf("list the tables: %v", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("list the tables: %v", err)
	}
	all := make(map[string]string, len(tables))
	for _, table := range tables {
		all["table "+table] = d.Text(t, "SELECT string_agg(r::text, E'\\n') FROM "+table+" AS r")
	}
	return all
}

// Arguments are the command lines of the process and of what it started, as everybody on the
// machine sees them.
func (p *Process) Arguments(t TB) string {
	t.Helper()
	parents := make(map[int]int)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("list the processes: there is no /proc here")
	}
	for _, path := range stats {
		text, err := os.ReadFile(path) //nolint:gosec // what Glob gave
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …, and a name may have anything in it.
		end := bytes.LastIndexByte(text, ')')
		fields := bytes.Fields(text[end+1:])
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, err2 := strconv.Atoi(string(fields[1]))
		if err1 == nil && err2 == nil {
			parents[pid] = parent
		}
	}
	var b strings.Builder
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if at == p.PID() {
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
				if err == nil {
					b.Write(line)
				}
				break
			}
		}
	}
	if b.Len() == 0 {
		t.Fatalf("read the arguments of process %d: there are none", p.PID())
	}
	return b.String()
}
