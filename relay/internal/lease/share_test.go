package lease_test

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/relay/internal/lease"
)

func text(n int32) string { return strconv.Itoa(int(n)) }

func TestShare(t *testing.T) {
	t.Parallel()
	for name, is := range map[string]struct {
		mine          []int
		owned         map[int]int32
		members       int
		partitions    int
		take, release []int
	}{
		"the first member takes all":                   {nil, nil, 1, 4, []int{0, 1, 2, 3}, nil},
		"the first of two takes half":                  {nil, nil, 2, 4, []int{0, 1}, nil},
		"what is even stays":                           {[]int{0, 1}, map[int]int32{0: 7, 1: 7, 2: 8, 3: 8}, 2, 4, nil, nil},
		"the last ones go to a member that joins":      {[]int{3, 0, 2, 1}, map[int]int32{0: 7, 1: 7, 2: 7, 3: 7}, 2, 4, nil, []int{2, 3}},
		"what joins waits":                             {nil, map[int]int32{0: 7, 1: 7, 2: 7, 3: 7}, 2, 4, nil, nil},
		"what is left of a member that left is shared": {[]int{0}, map[int]int32{0: 7, 3: 9}, 2, 4, []int{2}, nil},
		"a member that has nothing takes first":        {nil, map[int]int32{0: 7}, 2, 5, []int{1, 2}, nil},
		"and the others take from behind it":           {[]int{0}, map[int]int32{0: 7}, 2, 5, []int{3, 4}, nil},
		"and the other one takes the other":            {[]int{3}, map[int]int32{0: 7, 3: 9}, 2, 4, []int{1}, nil},
		"of an odd number the older has more":          {[]int{0}, map[int]int32{0: 7, 1: 8}, 2, 3, []int{2}, nil},
		"and the younger no more":                      {[]int{1}, map[int]int32{0: 7, 1: 8}, 2, 3, nil, nil},
		"who has more keeps it":                        {[]int{1, 2}, map[int]int32{0: 7, 1: 8, 2: 8}, 2, 3, nil, nil},
		"more members than partitions":                 {nil, map[int]int32{0: 7}, 3, 2, []int{1}, nil},
		"and then one has none":                        {nil, map[int]int32{0: 7, 1: 8}, 3, 2, nil, nil},
		"what an application has is nobody's":          {[]int{0}, map[int]int32{0: 7, 1: 0, 2: 8}, 2, 3, nil, nil},
		"a survey that lacks its own says nothing":     {[]int{0}, map[int]int32{1: 8}, 2, 3, nil, nil},
		"a survey that misses who asks counts one":     {nil, nil, 0, 2, []int{0, 1}, nil},
	} {
		take, release := lease.Share(is.mine, is.owned, is.members, is.partitions)
		require.ElementsMatch(t, is.take, take, name)
		require.ElementsMatch(t, is.release, release, name)
	}
}

// fleet is a set of members that go by Share.
type fleet struct {
	partitions int
	members    map[int32]struct{}
	owned      map[int]int32
}

func (f *fleet) mine(pid int32) (mine []int) {
	for p, owner := range f.owned {
		if owner == pid {
			mine = append(mine, p)
		}
	}
	slices.Sort(mine)
	return mine
}

// act has a member do what it found best when it saw what was owned.
func (f *fleet) act(pid int32, seen map[int]int32) (moves int) {
	saw := fleet{owned: seen}
	take, release := lease.Share(saw.mine(pid), seen, len(f.members), f.partitions)
	for _, p := range release {
		delete(f.owned, p)
	}
	for _, p := range take {
		if _, taken := f.owned[p]; !taken {
			f.owned[p] = pid
			moves++
		}
	}
	return moves + len(release)
}

// round has all members act once, in some order; together: each acts on what there was before.
func (f *fleet) round(t *rapid.T, together bool) (moves int) {
	seen := maps.Clone(f.owned)
	for _, pid := range rapid.Permutation(slices.Sorted(maps.Keys(f.members))).Draw(t, "order") {
		if !together {
			seen = maps.Clone(f.owned)
		}
		moves += f.act(pid, seen)
	}
	return moves
}

// requireEven checks that everything is owned that can be, and evenly.
func (f *fleet) requireEven(t *rapid.T, blocked int) {
	if len(f.members) == 0 {
		return
	}
	least, most := f.partitions, 0
	for pid := range f.members {
		n := len(f.mine(pid))
		least, most = min(least, n), max(most, n)
	}
	require.LessOrEqual(t, most-least, 1, "%v", f.owned)
	require.Len(t, f.owned, f.partitions)
	require.LessOrEqual(t, most, (f.partitions-blocked+len(f.members)-1)/len(f.members))
}

// However members come and go, what they own is soon even, and then nothing moves any more: not
// where each acts on what the others have just done, and not where all act at once. Nothing moves
// but what has to.
func TestShare_comesToRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &fleet{partitions: rapid.IntRange(1, 40).Draw(t, "partitions"), members: map[int32]struct{}{}, owned: map[int]int32{}}
		blocked := rapid.IntRange(0, min(2, f.partitions-1)).Draw(t, "blocked")
		for p := range blocked {
			f.owned[p] = 0
		}
		resting := false // it was even when the members changed
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			before := maps.Clone(f.owned)
			joined, left := f.change(t)
			even := resting
			moves := 0
			for range rapid.IntRange(0, 2).Draw(t, "disturbed") {
				moves += f.round(t, rapid.Bool().Draw(t, "together"))
			}
			if resting = rapid.Bool().Draw(t, "rests"); !resting {
				continue
			}
			bound := len(f.members) + 4
			n := 0
			for ; n < bound; n++ {
				now := f.round(t, rapid.Bool().Draw(t, "together"))
				if now == 0 && n > 0 {
					break
				}
				moves += now
			}
			require.Less(t, n, bound, "still moving: %v", f.owned)
			f.requireEven(t, blocked)
			for range 3 {
				require.Zero(t, f.round(t, rapid.Bool().Draw(t, "together")))
			}
			if even && joined+left == 1 {
				f.requireFewMoves(t, before, joined == 1, moves)
			}
		}
	})
}

// change has members come or go, and says how many did.
func (f *fleet) change(t *rapid.T) (joined, left int) {
	for range rapid.IntRange(1, 3).Draw(t, "members that change") {
		pid := rapid.Int32Range(1, 12).Draw(t, "pid")
		if _, there := f.members[pid]; there {
			delete(f.members, pid)
			maps.DeleteFunc(f.owned, func(_ int, owner int32) bool { return owner == pid })
			left++
			continue
		}
		f.members[pid] = struct{}{}
		joined++
	}
	return joined, left
}

// requireFewMoves checks that only what a member that joined has now, or one that left had, was
// moved.
func (f *fleet) requireFewMoves(t *rapid.T, before map[int]int32, joined bool, moves int) {
	changed := 0
	for p, owner := range f.owned {
		if before[p] != owner {
			changed++
		}
	}
	if joined {
		require.Equal(t, (f.partitions-f.blocked())/len(f.members), changed, "%v became %v", before, f.owned)
	}
	if len(f.members) > 1 || !joined {
		for p, owner := range before {
			_, stays := f.members[owner]
			if stays && !joined {
				require.Equal(t, owner, f.owned[p], "nobody gives back what another one has left: %v became %v", before, f.owned)
			}
		}
	}
	require.LessOrEqual(t, moves, 2*changed, "each was given back and taken once")
}

func (f *fleet) blocked() (n int) {
	for _, owner := range f.owned {
		if owner == 0 {
			n++
		}
	}
	return n
}
