/*
 * Virtual machine for bytecode: loads and verifies the program in the boot module, then interprets it, or, when the
 * module's text has the word `translate`, translates it to IA-32 code first and runs that.
 *
 * Verification makes sure before anything runs that instructions are whole, that jumps lead to instructions of the same
 * function, that locals, functions and host calls exist, and that each place has one height of the stack. What is left
 * is checked as it happens: addresses of memory, division by zero, depth of the stack.
 * Invariant: whatever the file is, it is refused (exit code 0x7D), or it runs and cannot reach anything but its memory;
 * a fault ends it with its place (0x7E).
 */
#include "bytecode.h"

struct program program;
u8 memory[MEMORY_MAX] __attribute__((aligned(4096)));

static struct meter meter;
static u32 command_line_bytes;

static void report(const char *what, const char *of, u32 value, const char *where, u32 at)
{
    console_text("bcvm: ");
    console_text(what);
    if (of) {
        console_text(of);
        console_hex(value);
    }
    console_text(where);
    console_hex(at);
    console_byte('\n');
}

void fault(const char *what, u32 value, u32 at)
{
    meter.pc = at;
    report(what, " ", value, " at ", at);
    meter_section("run");
    power_off(EXIT_FAULT);
}

void refuse(const char *what, u32 at)
{
    report("the module is not a bytecode program: ", 0, 0, what, at);
    power_off(EXIT_REFUSED);
}

u32 host_call(u32 function, u32 argument)
{
    switch (function) {
    case HOST_PUT:
        console_byte((u8)argument);
        return 0;
    case HOST_PROGRESS:
        report_progress(argument);
        return 0;
    default:
        return argument < command_line_bytes ? (u8)command_line[argument] : 0;
    }
}

/* ------------------------------------------------------------------ load and verify */

u32 operand_bytes(u8 operation)
{
    switch (operation) {
    case OP_PUSH8:
    case OP_GET:
    case OP_SET:
    case OP_HOST:
        return 1;
    case OP_JUMP:
    case OP_JUMP_IF_ZERO:
    case OP_JUMP_IF_NOT_ZERO:
    case OP_CALL:
        return 2;
    case OP_PUSH32:
    case OP_LOAD8:
    case OP_LOAD32:
    case OP_STORE8:
    case OP_STORE32:
        return 4;
    default:
        return 0;
    }
}

static int is_operation(u8 operation)
{
    return (operation >= OP_PUSH8 && operation <= OP_HOST) || (operation >= OP_ADD && operation <= OP_SAR) ||
           (operation >= OP_EQUAL && operation <= OP_GREATER_EQUAL_UNSIGNED) ||
           (operation >= OP_LOAD8 && operation <= OP_STORE32);
}

enum { UNKNOWN = 0xFF, HEIGHT_MAX = 200 };
static u8 heights[CODE_MAX + 1];

/* The stack has this height at a place; a place has one. */
static void expect_height(u32 at, u32 height)
{
    if (heights[at] == UNKNOWN)
        heights[at] = (u8)height;
    else if (heights[at] != height)
        refuse("two heights of the stack at ", at);
}

/* Cells that an instruction takes and leaves. */
static void effect(const struct function *f, u32 at, u32 *pops, u32 *pushes)
{
    const u8 *ip = program.code + at;
    *pops = 0;
    *pushes = 1;
    switch (*ip) {
    case OP_PUSH8:
    case OP_PUSH32:
        return;
    case OP_GET:
    case OP_SET:
        if (ip[1] >= f->locals)
            refuse("no such local variable at ", at);
        if (*ip == OP_SET) {
            *pops = 1;
            *pushes = 0;
        }
        return;
    case OP_JUMP:
        *pushes = 0;
        return;
    case OP_JUMP_IF_ZERO:
    case OP_JUMP_IF_NOT_ZERO:
    case OP_RETURN:
    case OP_DROP:
        *pops = 1;
        *pushes = 0;
        return;
    case OP_CALL: {
        u32 callee = *(const u16 *)(ip + 1);
        if (callee >= program.functions)
            refuse("no such function at ", at);
        *pops = program.function[callee].args;
        return;
    }
    case OP_HOST:
        if (ip[1] >= HOST_COUNT)
            refuse("no such host function at ", at);
        *pops = 1;
        return;
    case OP_LOAD8:
    case OP_LOAD32:
        *pops = 1;
        return;
    case OP_STORE8:
    case OP_STORE32:
        *pops = 2;
        *pushes = 0;
        return;
    default:
        *pops = 2;
    }
}

static void verify(struct function *f)
{
    u32 end = f->start + f->bytes, height = 0, last = 0;
    for (u32 at = f->start; at < end; at += 1 + operand_bytes(program.code[at])) {
        if (!is_operation(program.code[at]))
            refuse("unknown operation at ", at);
        if (operand_bytes(program.code[at]) >= end - at)
            refuse("a cut instruction at ", at);
        program.marks[at] |= MARK_START;
        last = at;
    }
    if (f->bytes == 0 || (program.code[last] != OP_RETURN && program.code[last] != OP_JUMP))
        refuse("no return at the end of the function at ", f->start);
    for (u32 at = f->start; at < end; at += 1 + operand_bytes(program.code[at])) {
        u8 operation = program.code[at];
        u32 pops, pushes, next = at + 1 + operand_bytes(operation);
        if (heights[at] != UNKNOWN)
            height = heights[at];
        expect_height(at, height);
        effect(f, at, &pops, &pushes);
        if (height < pops)
            refuse("too little on the stack at ", at);
        height = height - pops + pushes;
        if (height > HEIGHT_MAX)
            refuse("too much on the stack at ", at);
        if (height > f->stack)
            f->stack = height;
        if (operation == OP_JUMP || operation == OP_JUMP_IF_ZERO || operation == OP_JUMP_IF_NOT_ZERO) {
            u32 target = next + (u32)(i32) * (const short *)(program.code + at + 1);
            if (target < f->start || target >= end || !(program.marks[target] & MARK_START))
                refuse("a jump to no instruction at ", at);
            program.marks[target] |= MARK_TARGET;
            expect_height(target, height);
        }
        /* What follows is reached by jumps only; the compiler has nothing on the stack there unless a jump says so. */
        if (operation == OP_JUMP || operation == OP_RETURN)
            height = 0;
    }
}

static u32 word(u32 index)
{
    return read32(module + 4 * index);
}

static void load(void)
{
    enum { HEADER = 32, ENTRY = 16 };
    if (module_bytes < HEADER || word(0) != 0x43425648)
        refuse("no header, in bytes: ", module_bytes);
    if (word(1) != 1)
        refuse("unknown version ", word(1));
    u32 data_at = word(5), data_bytes = word(6);
    program.functions = word(2);
    program.first = word(3);
    program.code_bytes = word(4);
    program.memory_bytes = word(7);
    if (program.functions == 0 || program.functions > FUNCTIONS_MAX || program.first >= program.functions)
        refuse("number of functions ", program.functions);
    if (program.code_bytes > CODE_MAX)
        refuse("bytes of code ", program.code_bytes);
    if (program.memory_bytes < 16 || program.memory_bytes > MEMORY_MAX)
        refuse("bytes of memory ", program.memory_bytes);
    if (data_at > program.memory_bytes || data_bytes > program.memory_bytes - data_at)
        refuse("data outside memory, bytes ", data_bytes);
    if (module_bytes != HEADER + ENTRY * program.functions + program.code_bytes + data_bytes)
        refuse("bytes of the file ", module_bytes);
    program.code = module + HEADER + ENTRY * program.functions;
    memcpy(memory + data_at, program.code + program.code_bytes, data_bytes);
    memset(heights, UNKNOWN, program.code_bytes);
    u32 at = 0;
    for (u32 i = 0; i < program.functions; i++) {
        struct function *f = &program.function[i];
        f->start = word(8 + 4 * i);
        f->bytes = word(9 + 4 * i);
        f->args = word(10 + 4 * i);
        f->locals = word(11 + 4 * i);
        if (f->start != at || f->bytes > program.code_bytes - at)
            refuse("a function outside the code at ", f->start);
        if (f->args > f->locals || f->locals > 255)
            refuse("local variables of the function at ", f->start);
        at += f->bytes;
    }
    if (program.function[program.first].args != 0)
        refuse("the first function takes arguments: ", program.first);
    for (u32 i = 0; i < program.functions; i++)
        verify(&program.function[i]);
}

/* ------------------------------------------------------------------ interpret */

struct frame {
    const u8 *ip;
    u32 *locals;
};

static u32 stack[STACK_CELLS];
static struct frame frames[STACK_CELLS / 4];

static u32 interpret(void)
{
    const u8 *const code = program.code;
    const struct function *f = &program.function[program.first];
    const u8 *ip = code + f->start;
    u32 *locals = stack;
    u32 *sp = stack + f->locals; /* the first free cell */
    u32 depth = 0;
    u32 address;
    for (;;) {
        meter.instructions++;
        switch (*ip) {
        case OP_PUSH8:
            *sp++ = (u32)(i32)(signed char)ip[1];
            ip += 2;
            break;
        case OP_PUSH32:
            *sp++ = read32(ip + 1);
            ip += 5;
            break;
        case OP_GET:
            *sp++ = locals[ip[1]];
            ip += 2;
            break;
        case OP_SET:
            locals[ip[1]] = *--sp;
            ip += 2;
            break;
        case OP_JUMP:
            ip += 3 + *(const short *)(ip + 1);
            break;
        case OP_JUMP_IF_ZERO:
            ip += 3 + (*--sp == 0 ? *(const short *)(ip + 1) : 0);
            break;
        case OP_JUMP_IF_NOT_ZERO:
            ip += 3 + (*--sp != 0 ? *(const short *)(ip + 1) : 0);
            break;
        case OP_CALL: {
            f = &program.function[*(const u16 *)(ip + 1)];
            if (depth == STACK_CELLS / 4 || sp + f->locals + f->stack > stack + STACK_CELLS)
                fault("stack overflow, calls:", depth, (u32)(ip - code));
            frames[depth].ip = ip + 3;
            frames[depth++].locals = locals;
            locals = sp - f->args;
            for (u32 i = f->args; i < f->locals; i++)
                *sp++ = 0;
            ip = code + f->start;
            break;
        }
        case OP_RETURN: {
            u32 result = sp[-1];
            if (depth == 0)
                return result;
            sp = locals;
            *sp++ = result;
            ip = frames[--depth].ip;
            locals = frames[depth].locals;
            break;
        }
        case OP_DROP:
            sp--;
            ip++;
            break;
        case OP_HOST:
            sp[-1] = host_call(ip[1], sp[-1]);
            ip += 2;
            break;
#define BINARY(operation, value)        \
    case operation: {                   \
        u32 b = *--sp, a = sp[-1];      \
        sp[-1] = (u32)(value);          \
        ip++;                           \
        break;                          \
    }
        BINARY(OP_ADD, a + b)
        BINARY(OP_SUB, a - b)
        BINARY(OP_MUL, a * b)
        BINARY(OP_AND, a & b)
        BINARY(OP_OR, a | b)
        BINARY(OP_XOR, a ^ b)
        BINARY(OP_SHL, a << (b & 31))
        BINARY(OP_SHR, a >> (b & 31))
        BINARY(OP_SAR, (i32)a >> (b & 31))
        BINARY(OP_EQUAL, a == b)
        BINARY(OP_NOT_EQUAL, a != b)
        BINARY(OP_LESS, (i32)a < (i32)b)
        BINARY(OP_LESS_UNSIGNED, a < b)
        BINARY(OP_GREATER, (i32)a > (i32)b)
        BINARY(OP_GREATER_UNSIGNED, a > b)
        BINARY(OP_LESS_EQUAL, (i32)a <= (i32)b)
        BINARY(OP_LESS_EQUAL_UNSIGNED, a <= b)
        BINARY(OP_GREATER_EQUAL, (i32)a >= (i32)b)
        BINARY(OP_GREATER_EQUAL_UNSIGNED, a >= b)
        case OP_DIV:
        case OP_DIV_UNSIGNED:
        case OP_REM:
        case OP_REM_UNSIGNED: {
            u32 b = *--sp;
            if (b == 0)
                fault("division by zero of", sp[-1], (u32)(ip - code));
            sp[-1] = divide(*ip, sp[-1], b);
            ip++;
            break;
        }
        case OP_LOAD8:
            address = sp[-1] + read32(ip + 1);
            if (address >= program.memory_bytes)
                goto outside;
            sp[-1] = memory[address];
            ip += 5;
            break;
        case OP_LOAD32:
            address = sp[-1] + read32(ip + 1);
            if (address > program.memory_bytes - 4)
                goto outside;
            sp[-1] = read32(memory + address);
            ip += 5;
            break;
        case OP_STORE8:
            sp -= 2;
            address = sp[0] + read32(ip + 1);
            if (address >= program.memory_bytes)
                goto outside;
            memory[address] = (u8)sp[1];
            ip += 5;
            break;
        case OP_STORE32:
            sp -= 2;
            address = sp[0] + read32(ip + 1);
            if (address > program.memory_bytes - 4)
                goto outside;
            *(u32 *)(memory + address) = sp[1];
            ip += 5;
            break;
        outside:
            fault("access outside memory:", address, (u32)(ip - code));
        }
    }
}

void begin(void)
{
    command_line_bytes = text_length(command_line);
    load();
    u32 result;
    if (text_has_word(module_text, "translate")) {
        meter_section("load");
        u32 first = translate();
        meter_section("translate");
        result = run_translated(first);
    } else {
        meter.memory = (u32)memory;
        meter.memory_bytes = program.memory_bytes;
        meter_at(&meter);
        meter_section("load");
        result = interpret();
    }
    meter_section("run");
    power_off(result & 0xFF);
}
