package lease

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5"
)

// keys are the first integers of a slot's advisory locks. The second one is the partition, or 0 for
// the lock that all members share.
type keys struct{ partitions, members int32 }

// keysOf makes the keys of a slot. Locks belong to a database, so that its name is no part of them.
func keysOf(slot string) keys {
	class := func(name string) int32 {
		h := fnv.New32a()
		_, _ = h.Write([]byte(name)) // never fails
		return int32(h.Sum32())      //nolint:gosec // the bits are all that counts
	}
	// No name of a slot has a colon.
	return keys{partitions: class("tailpost:" + slot), members: class("tailpost:" + slot + ":members")}
}

// Members returns the key of the advisory lock (key, 0) that the members of a slot's fan-out share.
func Members(slot string) int32 { return keysOf(slot).members }

// Survey is who owns what at one moment.
type Survey struct {
	Members int // with this one
	// Owned has the process that serves the owner's session, by partition. 0: an application holds
	// the lock, which is none of a member's. What is not in it is free.
	Owned map[int]int32
	Mine  []int // what this session owns, in order
}

// stranger is a session that holds a partition's lock and is no member.
type stranger struct {
	pid  int32
	told bool
}

// surveySQL reads pg_locks once: that is all locks at one moment. The name tells members from
// applications that hold the same key; it is compared as the server has cut it.
const surveySQL = `
WITH held AS MATERIALIZED (
    SELECT l.classid = @members::integer::oid AS member, l.objid::bigint AS number, COALESCE(l.pid, 0) AS pid
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory'
      AND l.granted
      AND l.objsubid = 2
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
      AND l.classid IN (@members::integer::oid, @class::integer::oid)
)
SELECT h.member, h.number, h.pid
FROM held AS h
WHERE NOT h.member
   OR (h.number = 0 AND EXISTS (
          SELECT
          FROM pg_catalog.pg_stat_activity AS a
          WHERE a.pid = h.pid
            AND a.application_name = current_setting('application_name')
      ))`

// Survey looks at who owns what. It logs partitions that an application keeps from being taken.
func (l *Lease) Survey(ctx context.Context) (s Survey, err error) {
	const what = "look at who owns which partition"
	err = l.while(ctx, what, func() error {
		var found []lock
		err := l.ask(ctx, what, func(ctx context.Context) error {
			rows, err := l.conn.Query(ctx, surveySQL, pgx.NamedArgs{"members": l.keys.members, "class": l.keys.partitions})
			if err != nil {
				return err
			}
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[lock])
			return err
		})
		if err != nil {
			return err
		}
		s = l.judge(found)
		return nil
	})
	return s, err
}

// lock is one that some session holds.
type lock struct {
	Member bool
	Number int64
	PID    int32
}

// judge tells members' locks from others'.
func (l *Lease) judge(found []lock) Survey {
	members := make(map[int32]struct{})
	for _, k := range found {
		if k.Member {
			members[k.PID] = struct{}{}
		}
	}
	s := Survey{Members: len(members), Owned: make(map[int]int32)}
	strangers := make(map[int]stranger)
	for _, k := range found {
		if k.Member || k.Number >= int64(l.opts.Partitions) {
			continue
		}
		partition := int(k.Number)
		if _, member := members[k.PID]; member {
			s.Owned[partition] = k.PID
			if k.PID == l.pid {
				s.Mine = append(s.Mine, partition)
			}
			continue
		}
		s.Owned[partition] = 0
		strangers[partition] = l.meet(partition, k.PID)
	}
	l.strangers = strangers
	slices.Sort(s.Mine)
	return s
}

// meet tells of a stranger once, at the second survey that finds it: a session that ends lets go of
// its locks one after the other.
func (l *Lease) meet(partition int, pid int32) stranger {
	was, again := l.strangers[partition]
	if !again || was.pid != pid {
		return stranger{pid: pid}
	}
	if !was.told {
		l.log.Error().Int("partition", partition).Int32("pid", pid).Str("key", fmt.Sprintf("(%d, %d)", l.keys.partitions, partition)).
			Msg("an application holds the advisory lock of a partition, which nobody delivers meanwhile: end that session, and have it use another key")
	}
	return stranger{pid: pid, told: true}
}
