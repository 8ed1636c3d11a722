package lease

import (
	"cmp"
	"slices"
)

// Share says which free partitions a member is to try to take now and which of its own to give
// back, as a Survey found them. It is the same rule for all members, asked again after each survey:
//
//   - Every member may own so many that the numbers differ by at most one. Those that own most
//     already have the greater number; among equals the older process does. So nothing moves but
//     what a member that joins lacks, or one that left has let go of.
//   - A member gives back what it owns above that, its last partitions first, and takes what is
//     free up to it. Each takes from another place of what is free; those that own nothing cannot
//     tell themselves apart and try for the same.
//
// Partitions that an application has (0 in owned) are nobody's share. The members are all that own
// something, and the one that asks.
func Share(mine []int, owned map[int]int32, members, partitions int) (take, release []int) {
	counts, free := make(map[int32]int), make([]int, 0, partitions)
	usable := partitions
	for p := range partitions {
		switch pid, taken := owned[p]; {
		case !taken:
			free = append(free, p)
		case pid == 0:
			usable--
		default:
			counts[pid]++
		}
	}
	known := make([]int32, 0, len(counts))
	for pid := range counts {
		known = append(known, pid)
	}
	slices.SortFunc(known, func(a, b int32) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	members = max(members, 1) // a survey through a pooler may miss the one that asks
	q := quotas{least: usable / members, more: usable % members}

	// Those that own least take first.
	begin := (members - len(known)) * q.unknown()
	want, skip := q.unknown(), 0
	if len(mine) > 0 {
		self := owned[mine[0]]
		rank := slices.Index(known, self)
		if rank < 0 {
			return nil, nil // the survey does not have what is said to be ours: the next one tells
		}
		skip = begin
		for r := len(known) - 1; r > rank; r-- {
			skip += max(0, q.of(r)-counts[known[r]])
		}
		want = q.of(rank) - len(mine)
	}
	if want < 0 {
		last := slices.Sorted(slices.Values(mine))
		return nil, last[len(last)+want:]
	}
	free = free[min(skip, len(free)):]
	return free[:min(want, len(free))], nil
}

// quotas say how many partitions each member may own.
type quotas struct{ least, more int }

// of returns the quota of the member that is number rank among those that own something.
func (q quotas) of(rank int) int {
	if rank < q.more {
		return q.least + 1
	}
	return q.least
}

// unknown returns the quota of a member that owns nothing. It is not told from others like it, so
// that it gets the greater number only where it would never have one else: nothing is free where
// others have that already.
func (q quotas) unknown() int { return max(1, q.least) }
