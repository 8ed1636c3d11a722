// Finding the bytes of a block that matter, 32 at a time: see block_amd64.go for what each function does, and block.go for
// its portable twin.

#include "textflag.h"

// The bytes that are looked for, and the bit that tells a brace from a square bracket, each 32 times.
DATA quote<>+0(SB)/8, $0x2222222222222222
DATA quote<>+8(SB)/8, $0x2222222222222222
DATA quote<>+16(SB)/8, $0x2222222222222222
DATA quote<>+24(SB)/8, $0x2222222222222222
GLOBL quote<>(SB), RODATA|NOPTR, $32

DATA backslash<>+0(SB)/8, $0x5c5c5c5c5c5c5c5c
DATA backslash<>+8(SB)/8, $0x5c5c5c5c5c5c5c5c
DATA backslash<>+16(SB)/8, $0x5c5c5c5c5c5c5c5c
DATA backslash<>+24(SB)/8, $0x5c5c5c5c5c5c5c5c
GLOBL backslash<>(SB), RODATA|NOPTR, $32

DATA brace<>+0(SB)/8, $0x2020202020202020
DATA brace<>+8(SB)/8, $0x2020202020202020
DATA brace<>+16(SB)/8, $0x2020202020202020
DATA brace<>+24(SB)/8, $0x2020202020202020
GLOBL brace<>(SB), RODATA|NOPTR, $32

DATA open<>+0(SB)/8, $0x7b7b7b7b7b7b7b7b
DATA open<>+8(SB)/8, $0x7b7b7b7b7b7b7b7b
DATA open<>+16(SB)/8, $0x7b7b7b7b7b7b7b7b
DATA open<>+24(SB)/8, $0x7b7b7b7b7b7b7b7b
GLOBL open<>(SB), RODATA|NOPTR, $32

DATA close<>+0(SB)/8, $0x7d7d7d7d7d7d7d7d
DATA close<>+8(SB)/8, $0x7d7d7d7d7d7d7d7d
DATA close<>+16(SB)/8, $0x7d7d7d7d7d7d7d7d
DATA close<>+24(SB)/8, $0x7d7d7d7d7d7d7d7d
GLOBL close<>(SB), RODATA|NOPTR, $32

// GATHER leaves in reg a bit for each of the 64 bytes in a and b that is equal to what the vector has there.
#define GATHER(vector, a, b, reg) \
	VPCMPEQB vector, a, Y4 \
	VPCMPEQB vector, b, Y5 \
	VPMOVMSKB Y4, reg      \
	VPMOVMSKB Y5, DX       \
	SHLQ $32, DX           \
	ORQ DX, reg

// func markAVX2(text *byte, found *marks, n int)
TEXT ·markAVX2(SB), NOSPLIT, $0-24
	MOVQ text+0(FP), SI
	MOVQ found+8(FP), DI
	MOVQ n+16(FP), CX
	VMOVDQU quote<>(SB), Y6
	VMOVDQU backslash<>(SB), Y7
	VMOVDQU brace<>(SB), Y8
	VMOVDQU open<>(SB), Y9
	VMOVDQU close<>(SB), Y10
block:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPOR Y8, Y0, Y2
	VPOR Y8, Y1, Y3
	GATHER(Y6, Y0, Y1, AX)
	GATHER(Y7, Y0, Y1, BX)
	GATHER(Y9, Y2, Y3, R8)
	GATHER(Y10, Y2, Y3, R9)
	MOVQ AX, 0(DI) // quotes
	MOVQ BX, 8(DI) // backslashes
	MOVQ R8, 16(DI) // opens
	MOVQ R9, 24(DI) // closes
	ADDQ $64, SI
	ADDQ $32, DI
	DECQ CX
	JNZ block
	VZEROUPPER
	RET

// func findAVX2(block *[64]byte, first, second byte) (firsts, seconds uint64)
TEXT ·findAVX2(SB), NOSPLIT, $0-32
	MOVQ block+0(FP), SI
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPBROADCASTB first+8(FP), Y2
	VPBROADCASTB second+9(FP), Y3
	GATHER(Y2, Y0, Y1, AX)
	GATHER(Y3, Y0, Y1, BX)
	MOVQ AX, firsts+16(FP)
	MOVQ BX, seconds+24(FP)
	VZEROUPPER
	RET
