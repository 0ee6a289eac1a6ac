package routing

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// ring is a hash ring: its members have points on a circle of 64-bit hashes, and whatever has a hash belongs to the member whose point comes
// next. The points of a member depend on its name alone.
//
// They are kept in buckets by their leading bits, as many buckets as there are points or half of that; as hashes are spread evenly, every
// operation on a point takes constant time.
type ring[M comparable] struct {
	buckets [][]point[M] // each sorted
	points  int
}

type point[M comparable] struct {
	hash   uint64
	name   string
	member M
}

func (p point[M]) compare(q point[M]) int {
	if c := cmp.Compare(p.hash, q.hash); c != 0 {
		return c
	}
	return cmp.Compare(p.name, q.name)
}

// pointHash is where the i-th point of a member is.
func pointHash(name string, i int) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(name) // it never fails
	_, _ = d.WriteString("\x00" + strconv.Itoa(i))
	return d.Sum64()
}

// add gives a member n points, and returns the members that were next after them and have lost something to it.
func (r *ring[M]) add(name string, member M, n int) (from []M) {
	for i := range n {
		p := point[M]{pointHash(name, i), name, member}
		if r.points >= 2*len(r.buckets) {
			r.grow()
		}
		b := r.bucket(p.hash)
		at, _ := slices.BinarySearchFunc(*b, p, point[M].compare)
		*b = slices.Insert(*b, at, p)
		r.points++
	}
	for i := range n {
		for next := range r.from(pointHash(name, i) + 1) {
			if next != member && !slices.Contains(from, next) {
				from = append(from, next)
			}
			break
		}
	}
	return from
}

// remove takes the n points of a member away.
func (r *ring[M]) remove(name string, n int) {
	for i := range n {
		p := point[M]{hash: pointHash(name, i), name: name}
		b := r.bucket(p.hash)
		if at, ok := slices.BinarySearchFunc(*b, p, point[M].compare); ok {
			*b = slices.Delete(*b, at, at+1)
			r.points--
		}
	}
}

// from iterates once around the circle, beginning with the owner of the hash. A member comes up once for each of its points.
func (r *ring[M]) from(hash uint64) iter.Seq[M] {
	return func(yield func(M) bool) {
		if r.points == 0 {
			return
		}
		first := int(hash >> r.shift())
		start, _ := slices.BinarySearchFunc(r.buckets[first], hash, func(p point[M], h uint64) int { return cmp.Compare(p.hash, h) })
		for i := range len(r.buckets) + 1 {
			bucket := r.buckets[(first+i)%len(r.buckets)]
			switch i {
			case 0:
				bucket = bucket[start:]
			case len(r.buckets):
				bucket = bucket[:start]
			}
			for _, p := range bucket {
				if !yield(p.member) {
					return
				}
			}
		}
	}
}

func (r *ring[M]) shift() int { return 64 - bits.Len(uint(len(r.buckets)-1)) }

func (r *ring[M]) bucket(hash uint64) *[]point[M] { return &r.buckets[hash>>r.shift()] }

// grow doubles the buckets.
func (r *ring[M]) grow() {
	old := r.buckets
	r.buckets = make([][]point[M], max(2*len(old), 2))
	for _, bucket := range old {
		for _, p := range bucket { // in order
			b := r.bucket(p.hash)
			*b = append(*b, p)
		}
	}
}
