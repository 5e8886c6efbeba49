package paxos

import "testing"

// A queue that holds a fraction of a value's fragments takes the first of each try. Tries that begin in different places get all of them through;
// the first try begins at the beginning.
func TestTriesBeginInDifferentPlaces(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 35, 47, 64, 373} {
		if firstPiece(n, 0) != 0 {
			t.Errorf("%d fragments: the first try begins at %d", n, firstPiece(n, 0))
		}
		through := make([]bool, n)
		for try := range uint64(64) {
			for i := range (n + 7) / 8 {
				through[(firstPiece(n, try)+i)%n] = true
			}
		}
		for i, here := range through {
			if !here {
				t.Errorf("%d fragments: number %d is never among the first eighth of a try", n, i)
			}
		}
	}
}
