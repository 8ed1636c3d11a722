// Finding the bytes of a block that matter, 32 at a time: see block_amd64.go for what each function does, and block.go for
// its portable twin.

#include "go_asm.h"
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

// func walkAVX2(b *blocks, text *byte, n int) (walked int)
//
// From block to block:
//	SI       the block
//	CX       how many blocks are left, with it
//	R9       all ones: it begins in a string
//	R10      1: its first byte is escaped
//	R11      depth of brackets where it begins
//	R12      every even bit
//	X13      all ones
//	Y6-Y10   the constants above
//	Y11, Y12 first and second
// In a block:
//	Y0, Y1   its bytes
//	AX       its quotes, then strings that begin in it
//	BX       its backslashes, then which bytes are in a string
//	R8, R13  its opening and its closing brackets
//	DX, DI, R15, Y2-Y5, X14 for short
TEXT ·walkAVX2(SB), NOSPLIT, $0-32
	MOVQ b+0(FP), DI
	MOVQ text+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ blocks_inString(DI), R9
	MOVQ blocks_escaped(DI), R10
	MOVQ blocks_depth(DI), R11
	MOVQ $0x5555555555555555, R12
	VMOVDQU quote<>(SB), Y6
	VMOVDQU backslash<>(SB), Y7
	VMOVDQU brace<>(SB), Y8
	VMOVDQU open<>(SB), Y9
	VMOVDQU close<>(SB), Y10
	VPBROADCASTB blocks_first(DI), Y11
	VPBROADCASTB blocks_second(DI), Y12
	VPCMPEQB X13, X13, X13

block:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPOR Y8, Y0, Y2
	VPOR Y8, Y1, Y3
	GATHER(Y6, Y0, Y1, AX)
	GATHER(Y7, Y0, Y1, BX)
	GATHER(Y9, Y2, Y3, R8)
	GATHER(Y10, Y2, Y3, R13)

	// The quotes that no backslash escapes: see escapes in block.go.
	MOVQ BX, DX
	ORQ R10, DX
	JZ unescaped
	MOVQ R10, DX
	NOTQ DX
	ANDQ DX, BX
	LEAQ (R10)(BX*2), DX // after
	MOVQ DX, DI
	ORQ R12, DI
	NOTQ DI
	ANDQ BX, DI          // oddStarts
	XORL R10, R10
	ADDQ DI, BX          // sum
	ADCQ $0, R10
	ADDQ BX, BX
	XORQ R12, BX
	ANDQ DX, BX
	NOTQ BX
	ANDQ BX, AX

unescaped:
	// A product by all ones, without carries, gives for each bit the parity of those up to it.
	VMOVQ AX, X14
	VPCLMULQDQ $0, X13, X14, X14
	VMOVQ X14, BX
	XORQ R9, BX
	MOVQ BX, R9
	SARQ $63, R9
	ANDQ BX, AX
	MOVQ BX, DX
	NOTQ DX
	ANDQ DX, R8
	ANDQ DX, R13

	// Nothing is outside all brackets unless the block begins there or so many close that it may get there.
	TESTQ R11, R11
	JZ outside
	POPCNTQ R13, DX
	CMPQ DX, R11
	JLT inside
	MOVQ R13, DI         // those that close and are not looked at yet
	MOVQ R11, R15        // the depth without those that open in the block

closing:
	LEAQ -1(DI), DX
	XORQ DI, DX
	ANDQ R8, DX          // those that open before it
	POPCNTQ DX, DX
	DECQ R15
	ADDQ R15, DX
	JZ outside           // it closes the outermost
	LEAQ -1(DI), DX
	ANDQ DX, DI
	JNZ closing
	POPCNTQ R13, DX

inside:
	SUBQ DX, R11
	POPCNTQ R8, DX
	ADDQ DX, R11

onward:
	ADDQ $64, SI
	DECQ CX
	JZ through
	CMPQ BX, $-1
	JNE block
	// A string over the whole block, but quotes in it that are escaped are reason to go on, as is a backslash at its end.
	GATHER(Y6, Y0, Y1, DI)
	ORQ R10, DI
	JNZ block

through:
	XORL AX, AX
	XORL R8, R8
	XORL R13, R13
	JMP done

outside:
	// Only strings that may begin with first and second count.
	GATHER(Y11, Y0, Y1, DI)
	SHRQ $1, DI
	BTSQ $63, DI         // what follows the last bytes is in the next block
	ANDQ DI, AX
	GATHER(Y12, Y0, Y1, DI)
	SHRQ $2, DI
	BTSQ $62, DI
	BTSQ $63, DI
	ANDQ DI, AX
	MOVQ AX, DI
	ORQ R8, DI
	ORQ R13, DI
	JZ onward
	DECQ CX

done:
	VZEROUPPER
	MOVQ b+0(FP), DI
	MOVQ R9, blocks_inString(DI)
	MOVQ R10, blocks_escaped(DI)
	MOVQ R11, blocks_depth(DI)
	MOVQ AX, blocks_strings(DI)
	MOVQ R8, blocks_opens(DI)
	MOVQ R13, blocks_closes(DI)
	MOVQ n+16(FP), AX
	SUBQ CX, AX
	MOVQ AX, walked+24(FP)
	RET
