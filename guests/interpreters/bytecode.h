/*
 * The bytecode (described in ../bytecode/format.ts, which has the same numbers), and what its interpreter and its
 * translator share.
 */
#ifndef BYTECODE_H
#define BYTECODE_H

#include "runtime.h"

enum {
    OP_PUSH8 = 0x01,
    OP_PUSH32 = 0x02,
    OP_GET = 0x03,
    OP_SET = 0x04,
    OP_JUMP = 0x05,
    OP_JUMP_IF_ZERO = 0x06,
    OP_JUMP_IF_NOT_ZERO = 0x07,
    OP_CALL = 0x08,
    OP_RETURN = 0x09,
    OP_DROP = 0x0A,
    OP_HOST = 0x0B,
    OP_ADD = 0x10,
    OP_SUB = 0x11,
    OP_MUL = 0x12,
    OP_DIV = 0x13,
    OP_DIV_UNSIGNED = 0x14,
    OP_REM = 0x15,
    OP_REM_UNSIGNED = 0x16,
    OP_AND = 0x17,
    OP_OR = 0x18,
    OP_XOR = 0x19,
    OP_SHL = 0x1A,
    OP_SHR = 0x1B,
    OP_SAR = 0x1C,
    OP_EQUAL = 0x20,
    OP_NOT_EQUAL = 0x21,
    OP_LESS = 0x22,
    OP_LESS_UNSIGNED = 0x23,
    OP_GREATER = 0x24,
    OP_GREATER_UNSIGNED = 0x25,
    OP_LESS_EQUAL = 0x26,
    OP_LESS_EQUAL_UNSIGNED = 0x27,
    OP_GREATER_EQUAL = 0x28,
    OP_GREATER_EQUAL_UNSIGNED = 0x29,
    OP_LOAD8 = 0x30,
    OP_LOAD32 = 0x31,
    OP_STORE8 = 0x32,
    OP_STORE32 = 0x33,
};

enum {
    HOST_PUT = 0,
    HOST_PROGRESS = 1,
    HOST_ARG = 2,
    HOST_COUNT = 3,

    FUNCTIONS_MAX = 256,
    CODE_MAX = 65536,
    MEMORY_MAX = 1 << 20,
    STACK_CELLS = 16384,
    EXIT_FAULT = 0x7E,
    EXIT_REFUSED = 0x7D,
};

typedef int i32;

struct function {
    u32 start, bytes, args, locals;
    u32 stack; /* most cells that its own work has on the stack; known after verify */
};

struct program {
    u32 functions, first, code_bytes;
    u32 memory_bytes;
    const u8 *code;
    struct function function[FUNCTIONS_MAX];
    /* By place in the code: bit 0 an instruction begins here, bit 1 a jump leads here. */
    u8 marks[CODE_MAX];
};

enum { MARK_START = 1, MARK_TARGET = 2 };

extern struct program program;
extern u8 memory[MEMORY_MAX];

u32 operand_bytes(u8 operation);
u32 host_call(u32 function, u32 argument);
/* The program did what it must not, at a place in its code. */
void fault(const char *what, u32 value, u32 at) __attribute__((noreturn));
void refuse(const char *what, u32 at) __attribute__((noreturn));

static inline u32 read32(const u8 *at)
{
    return *(const u32 *)at;
}

/* Division as the bytecode has it: the most negative number by -1 gives itself, remainder 0. The divisor is not 0. */
static inline u32 divide(u8 operation, u32 a, u32 b)
{
    int overflows = a == 0x80000000 && b == 0xFFFFFFFF;
    switch (operation) {
    case OP_DIV:
        return overflows ? a : (u32)((i32)a / (i32)b);
    case OP_DIV_UNSIGNED:
        return a / b;
    case OP_REM:
        return overflows ? 0 : (u32)((i32)a % (i32)b);
    default:
        return a % b;
    }
}

/* Translates everything to IA-32 code; returns the address of the first function. */
u32 translate(void);
/* Runs translated code from an address; its result. */
u32 run_translated(u32 address);

#endif
