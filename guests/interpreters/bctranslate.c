/*
 * Translator of bytecode to IA-32 code, by templates: each instruction becomes a fixed sequence, function after function,
 * once, before the program runs. The stack of the bytecode is the machine's stack with its top in EAX; the arguments lie
 * above EBP, the other local variables below.
 *
 *   prologue  push ebp; mov ebp, esp; depth check; a zero pushed for each local variable
 *   push c    push eax; mov eax, c            (an empty stack has garbage in EAX: it is pushed along and popped again)
 *   add       pop ecx; add eax, ecx
 *   return    leave; ret 4 * arguments        (the result is in EAX already)
 *
 * Two refinements, where no jump leads between the instructions: a local variable or a constant as right operand goes
 * into the instruction that uses it, and a comparison before a conditional jump only sets flags.
 * Invariants: the code was verified; whatever it does that is checked when it happens goes to a stub that knows the place
 * in the bytecode; translated code is never written again.
 * Source: Intel SDM volume 2 (encodings).
 */
#include "bytecode.h"

enum { CACHE_BYTES = 512 * 1024, FIXUPS_MAX = 16384, STACK_RESERVE = 16384 };

/* Address of jumps and calls that is not known when they are written. */
struct fixup {
    u32 at; /* of the 32-bit distance, in the cache */
    u32 to; /* place in the bytecode, or number of the stub */
};

/* What a check jumps to: pushes what the fault needs and calls it. */
struct stub {
    u32 jump; /* of the 32-bit distance that leads here */
    u32 at;   /* place in the bytecode */
    u8 kind;
};
enum { STUB_MEMORY_EAX, STUB_MEMORY_ECX, STUB_DIVISION, STUB_STACK };

static u8 cache[CACHE_BYTES] __attribute__((aligned(4096)));
static u32 used;
/* By place in the bytecode: where its translation begins. */
static u32 native_at[CODE_MAX];
static struct fixup jumps[FIXUPS_MAX], calls[FIXUPS_MAX];
static struct stub stubs[FIXUPS_MAX];
static u32 jump_count, call_count, stub_count;
extern u8 stack_bottom[];

/* ------------------------------------------------------------------ writing code */

static void byte(u32 value)
{
    if (used == CACHE_BYTES)
        refuse("its translation is too long: ", used);
    cache[used++] = (u8)value;
}

static void bytes(const char *code, u32 count)
{
    for (u32 i = 0; i < count; i++)
        byte((u8)code[i]);
}
#define CODE(text) bytes(text, sizeof text - 1)

static void word(u32 value)
{
    for (u32 i = 0; i < 4; i++)
        byte(value >> 8 * i & 0xFF);
}

static void patch(u32 at, u32 value)
{
    for (u32 i = 0; i < 4; i++)
        cache[at + i] = (u8)(value >> 8 * i);
}

static void add_fixup(struct fixup *list, u32 *count, u32 to)
{
    if (*count == FIXUPS_MAX)
        refuse("too many jumps: ", *count);
    list[*count].at = used;
    list[(*count)++].to = to;
    word(0);
}

/* The 32-bit distance to a stub. */
static void stub(u8 kind, u32 at)
{
    if (stub_count == FIXUPS_MAX)
        refuse("too many checks: ", stub_count);
    stubs[stub_count].jump = used;
    stubs[stub_count].at = at;
    stubs[stub_count++].kind = kind;
    word(0);
}

static void call_helper(void (*helper)(void))
{
    byte(0xE8);
    word((u32)helper - (u32)(cache + used + 4));
}

/* ------------------------------------------------------------------ what translated code calls */

static u32 helper_divide(u32 operation, u32 a, u32 b)
{
    return divide((u8)operation, a, b);
}

static void helper_memory(u32 at, u32 address)
{
    fault("access outside memory:", address, at);
}

static void helper_division(u32 at, u32 dividend)
{
    fault("division by zero of", dividend, at);
}

static void helper_stack(u32 at, u32 pointer)
{
    fault("stack overflow, bytes left:", pointer - (u32)stack_bottom, at);
}

/* ------------------------------------------------------------------ operands */

/* Displacement of a local variable from EBP. */
static u32 slot(const struct function *f, u32 local)
{
    return local < f->args ? 8 + 4 * (f->args - 1 - local) : (u32)-4 * (local - f->args + 1);
}

/* A right operand that needs no stack: a constant, or a local variable. */
struct operand {
    int is_constant;
    u32 value; /* or displacement */
};

/* An arithmetic instruction of the group at 0x01 + 8 * number, EAX with the operand. */
static void group(u32 number, const struct operand *right)
{
    if (right == 0) {
        CODE("\x59"); /* pop ecx */
        byte(0x01 + 8 * number);
        byte(0xC8); /* eax, ecx */
    } else if (right->is_constant) {
        byte(0x05 + 8 * number);
        word(right->value);
    } else {
        byte(0x03 + 8 * number);
        CODE("\x85");
        word(right->value);
    }
}

/* Flags of left compared with right. */
static void compare(const struct operand *right)
{
    if (right == 0)
        CODE("\x59\x39\xC1"); /* pop ecx; cmp ecx, eax */
    else
        group(7, right);
}

/* Condition code of a comparison, as in Jcc and SETcc. */
static u32 condition(u8 operation)
{
    switch (operation) {
    case OP_EQUAL:
        return 0x4;
    case OP_NOT_EQUAL:
        return 0x5;
    case OP_LESS:
        return 0xC;
    case OP_LESS_UNSIGNED:
        return 0x2;
    case OP_GREATER:
        return 0xF;
    case OP_GREATER_UNSIGNED:
        return 0x7;
    case OP_LESS_EQUAL:
        return 0xE;
    case OP_LESS_EQUAL_UNSIGNED:
        return 0x6;
    case OP_GREATER_EQUAL:
        return 0xD;
    default:
        return 0x3;
    }
}

static int is_comparison(u8 operation)
{
    return operation >= OP_EQUAL && operation <= OP_GREATER_EQUAL_UNSIGNED;
}

static int takes_right_operand(u8 operation)
{
    switch (operation) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_AND:
    case OP_OR:
    case OP_XOR:
        return 1;
    default:
        return is_comparison(operation);
    }
}

/* ------------------------------------------------------------------ templates */

static void shift(u32 extension, const struct operand *right)
{
    if (right != 0) {
        byte(0xC1);
        byte(extension);
        byte(right->value & 31);
    } else {
        CODE("\x89\xC1\x58\xD3"); /* mov ecx, eax; pop eax; shift eax, cl */
        byte(extension);
    }
}

static void division(u8 operation, u32 at)
{
    CODE("\x59\x85\xC0\x0F\x84"); /* pop ecx; test eax, eax; jz */
    stub(STUB_DIVISION, at);
    CODE("\x50\x51\x68"); /* push eax; push ecx; push operation */
    word(operation);
    call_helper((void (*)(void))helper_divide);
    CODE("\x83\xC4\x0C"); /* add esp, 12 */
}

/* EAX or ECX becomes an address that was checked. */
static void checked_address(int in_ecx, u32 offset, u32 size, u32 at)
{
    if (offset != 0) {
        if (in_ecx)
            CODE("\x81\xC1");
        else
            byte(0x05);
        word(offset);
    }
    if (in_ecx)
        CODE("\x81\xF9");
    else
        byte(0x3D);
    word(program.memory_bytes - size);
    CODE("\x0F\x87"); /* ja */
    stub(in_ecx ? STUB_MEMORY_ECX : STUB_MEMORY_EAX, at);
}

static void binary(u8 operation, const struct operand *right)
{
    switch (operation) {
    case OP_ADD:
        group(0, right);
        break;
    case OP_OR:
        group(1, right);
        break;
    case OP_AND:
        group(4, right);
        break;
    case OP_XOR:
        group(6, right);
        break;
    case OP_SUB:
        if (right != 0)
            group(5, right);
        else
            CODE("\x59\x29\xC1\x89\xC8"); /* pop ecx; sub ecx, eax; mov eax, ecx */
        break;
    case OP_MUL:
        if (right == 0) {
            CODE("\x59\x0F\xAF\xC1"); /* pop ecx; imul eax, ecx */
        } else if (right->is_constant) {
            CODE("\x69\xC0");
            word(right->value);
        } else {
            CODE("\x0F\xAF\x85");
            word(right->value);
        }
        break;
    case OP_SHL:
        shift(0xE0, right);
        break;
    case OP_SHR:
        shift(0xE8, right);
        break;
    case OP_SAR:
        shift(0xF8, right);
        break;
    default: /* comparisons */
        compare(right);
        CODE("\x0F");
        byte(0x90 + condition(operation));
        CODE("\xC0\x0F\xB6\xC0"); /* setcc al; movzx eax, al */
    }
}

static u32 jump_target(u32 at)
{
    return at + 3 + (u32)(i32) * (const short *)(program.code + at + 1);
}

/* A comparison and the jump behind it. */
static void compare_and_jump(u8 operation, const struct operand *right, u32 jump_at)
{
    u32 code = condition(operation);
    compare(right);
    CODE("\x58\x0F"); /* pop eax: flags stay */
    byte(0x80 + (program.code[jump_at] == OP_JUMP_IF_ZERO ? code ^ 1 : code));
    add_fixup(jumps, &jump_count, jump_target(jump_at));
}

static int no_jump_to(const struct function *f, u32 at)
{
    return at < f->start + f->bytes && !(program.marks[at] & MARK_TARGET);
}

static int is_conditional(u8 operation)
{
    return operation == OP_JUMP_IF_ZERO || operation == OP_JUMP_IF_NOT_ZERO;
}

/* An operation with two operands and what may be joined to it. Returns the place behind what was translated. */
static u32 operate(const struct function *f, u32 at, const struct operand *right)
{
    u8 operation = program.code[at];
    if (is_comparison(operation) && no_jump_to(f, at + 1) && is_conditional(program.code[at + 1])) {
        compare_and_jump(operation, right, at + 1);
        return at + 4;
    }
    binary(operation, right);
    return at + 1;
}

/* A constant or a local variable. Returns the place behind what was translated. */
static u32 push(const struct function *f, u32 at)
{
    const u8 *ip = program.code + at;
    struct operand operand = {*ip != OP_GET, 0};
    u32 next = at + 1 + operand_bytes(*ip);
    operand.value = *ip == OP_GET ? slot(f, ip[1]) : *ip == OP_PUSH8 ? (u32)(i32)(signed char)ip[1] : read32(ip + 1);
    if (no_jump_to(f, next)) {
        u8 user = program.code[next];
        int is_shift = user == OP_SHL || user == OP_SHR || user == OP_SAR;
        if (takes_right_operand(user) || (is_shift && operand.is_constant))
            return operate(f, next, &operand);
    }
    CODE("\x50"); /* push eax */
    if (operand.is_constant)
        byte(0xB8);
    else
        CODE("\x8B\x85");
    word(operand.value);
    return next;
}

/* Translates what stands at a place; returns the place behind it. */
static u32 instruction(const struct function *f, u32 at)
{
    const u8 *ip = program.code + at;
    u32 next = at + 1 + operand_bytes(*ip);
    switch (*ip) {
    case OP_PUSH8:
    case OP_PUSH32:
    case OP_GET:
        return push(f, at);
    case OP_SET:
        CODE("\x89\x85");
        word(slot(f, ip[1]));
        CODE("\x58"); /* pop eax */
        return next;
    case OP_JUMP:
        byte(0xE9);
        add_fixup(jumps, &jump_count, jump_target(at));
        return next;
    case OP_JUMP_IF_ZERO:
    case OP_JUMP_IF_NOT_ZERO:
        CODE("\x85\xC0\x58\x0F"); /* test eax, eax; pop eax */
        byte(*ip == OP_JUMP_IF_ZERO ? 0x84 : 0x85);
        add_fixup(jumps, &jump_count, jump_target(at));
        return next;
    case OP_CALL:
        CODE("\x50\xE8"); /* push eax; call */
        add_fixup(calls, &call_count, *(const u16 *)(ip + 1));
        return next;
    case OP_RETURN:
        CODE("\xC9\xC2"); /* leave; ret n */
        byte(4 * f->args & 0xFF);
        byte(4 * f->args >> 8);
        return next;
    case OP_DROP:
        CODE("\x58");
        return next;
    case OP_HOST:
        CODE("\x50\x68"); /* push eax; push function */
        word(ip[1]);
        call_helper((void (*)(void))host_call);
        CODE("\x83\xC4\x08"); /* add esp, 8 */
        return next;
    case OP_DIV:
    case OP_DIV_UNSIGNED:
    case OP_REM:
    case OP_REM_UNSIGNED:
        division(*ip, at);
        return next;
    case OP_LOAD8:
        checked_address(0, read32(ip + 1), 1, at);
        CODE("\x0F\xB6\x80"); /* movzx eax, byte [eax + memory] */
        word((u32)memory);
        return next;
    case OP_LOAD32:
        checked_address(0, read32(ip + 1), 4, at);
        CODE("\x8B\x80");
        word((u32)memory);
        return next;
    case OP_STORE8:
    case OP_STORE32:
        CODE("\x59"); /* pop ecx: the address */
        checked_address(1, read32(ip + 1), *ip == OP_STORE8 ? 1 : 4, at);
        byte(*ip == OP_STORE8 ? 0x88 : 0x89);
        CODE("\x81"); /* [ecx + memory], al or eax */
        word((u32)memory);
        CODE("\x58");
        return next;
    default:
        return operate(f, at, 0);
    }
}

/* ------------------------------------------------------------------ functions */

static void prologue(const struct function *f)
{
    CODE("\x55\x89\xE5\x81\xFC"); /* push ebp; mov ebp, esp; cmp esp, limit */
    word((u32)stack_bottom + STACK_RESERVE);
    CODE("\x0F\x82"); /* jb */
    stub(STUB_STACK, f->start);
    for (u32 i = f->args; i < f->locals; i++)
        CODE("\x6A\x00"); /* push 0 */
}

static void write_stub(const struct stub *stub)
{
    patch(stub->jump, used - (stub->jump + 4));
    byte(stub->kind == STUB_STACK ? 0x54 : stub->kind == STUB_MEMORY_EAX ? 0x50 : 0x51); /* push esp, eax or ecx */
    byte(0x68);
    word(stub->at);
    call_helper(stub->kind == STUB_STACK      ? (void (*)(void))helper_stack
                : stub->kind == STUB_DIVISION ? (void (*)(void))helper_division
                                              : (void (*)(void))helper_memory);
}

u32 translate(void)
{
    static u32 entries[FUNCTIONS_MAX];
    for (u32 i = 0; i < program.functions; i++) {
        const struct function *f = &program.function[i];
        entries[i] = used;
        prologue(f);
        for (u32 at = f->start; at < f->start + f->bytes;) {
            native_at[at] = used;
            at = instruction(f, at);
        }
    }
    for (u32 i = 0; i < jump_count; i++)
        patch(jumps[i].at, native_at[jumps[i].to] - (jumps[i].at + 4));
    for (u32 i = 0; i < call_count; i++)
        patch(calls[i].at, entries[calls[i].to] - (calls[i].at + 4));
    for (u32 i = 0; i < stub_count; i++)
        write_stub(&stubs[i]);
    return (u32)cache + entries[program.first];
}

u32 run_translated(u32 address)
{
    u32 result;
    __asm__ volatile("pushl %%ebp; call *%1; popl %%ebp"
                     : "=a"(result)
                     : "r"(address)
                     : "ecx", "edx", "ebx", "esi", "edi", "memory", "cc");
    return result;
}
