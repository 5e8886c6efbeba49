#include "textflag.h"

// func update(crc uint32, data []byte, shifts *shiftTable) uint32
//
// AX is the check so far, SI what is next, CX how many bytes are left.
TEXT ·update(SB), NOSPLIT, $0-44
	MOVL crc+0(FP), AX
	MOVQ data_base+8(FP), SI
	MOVQ data_len+16(FP), CX
	MOVQ shifts+32(FP), DI
	NOTL AX

	// Below this the multiplications cost more than the lanes win.
	CMPQ CX, $96
	JB   words

lanes:
	// R8 words a lane, and one word behind the three: (CX/8 - 1) / 3, at most 62. The product is exact up to 131,070.
	MOVQ    CX, R8
	SHRQ    $3, R8
	MOVQ    $62, R9
	CMPQ    R8, $187
	JAE     cut
	DECQ    R8
	IMUL3Q  $43691, R8, R9
	SHRQ    $17, R9

cut:
	MOVQ R9, R8

	// R10, R11 and R12 are the ends of the lanes; R9 counts up to 0.
	LEAQ (SI)(R8*8), R10
	LEAQ (R10)(R8*8), R11
	LEAQ (R11)(R8*8), R12
	NEGQ R9
	XORL BX, BX
	XORL DX, DX

lane:
	CRC32Q (R10)(R9*8), AX
	CRC32Q (R11)(R9*8), BX
	CRC32Q (R12)(R9*8), DX
	INCQ   R9
	JNZ    lane

	// The first lane moves over two lanes and the word behind them, the second over one and that word. Both are added to that word.
	MOVL      4(DI)(R8*8), R9
	MOVQ      R9, X0
	MOVQ      AX, X1
	PCLMULQDQ $0, X0, X1
	MOVL      4(DI)(R8*4), R9
	MOVQ      R9, X2
	MOVQ      BX, X3
	PCLMULQDQ $0, X2, X3
	PXOR      X3, X1
	MOVQ      X1, BX
	XORQ      (R12), BX
	MOVL      DX, AX
	CRC32Q    BX, AX

	// 24 bytes for each word of a lane, and 8.
	LEAQ 8(R12), SI
	LEAQ (R8)(R8*2), R8
	SHLQ $3, R8
	SUBQ R8, CX
	SUBQ $8, CX
	CMPQ CX, $96
	JAE  lanes

words:
	SUBQ $8, CX
	JB   rest

word:
	CRC32Q (SI), AX
	ADDQ   $8, SI
	SUBQ   $8, CX
	JAE    word

rest:
	// The lower three bits of CX are the bytes that are left.
	TESTQ $4, CX
	JZ    pair
	CRC32L (SI), AX
	ADDQ  $4, SI

pair:
	TESTQ $2, CX
	JZ    single
	CRC32W (SI), AX
	ADDQ  $2, SI

single:
	TESTQ $1, CX
	JZ    done
	CRC32B (SI), AX

done:
	NOTL AX
	MOVL AX, ret+40(FP)
	RET
