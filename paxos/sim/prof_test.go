package sim

import "testing"

func BenchmarkChaos(b *testing.B) {
	p, _ := FindProfile("chaos")
	for i := range b.N {
		Run(Config{Seed: uint64(i + 1), Profile: p})
	}
}

func BenchmarkLoad(b *testing.B) {
	p, _ := FindProfile("load")
	for i := range b.N {
		Run(Config{Seed: uint64(i + 1), Profile: p})
	}
}
