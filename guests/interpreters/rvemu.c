/*
 * Emulator of RV32IM: runs the executable in the boot module, instruction by instruction, by fetch, decode and a switch.
 *
 * The program sees 32 registers, a window of memory from MEMORY_BASE, and five environment calls: write (64) and exit
 * (93, 94) as Linux has them, progress (1000) and section (1001) of our own; others answer -ENOSYS. It starts as Linux
 * starts a program: sp points at argc, then the arguments: the file's name and the words of the command line.
 * Invariants: no access leaves the window; every instruction is decoded each time, so that code may be written as data;
 * misaligned loads and stores work; whatever the program does ends in a next instruction or in a fault that is reported
 * with its address (exit code 0x7E); a file that cannot be run is refused (0x7D).
 * Source: The RISC-V Instruction Set Manual, volume I, version 20191213: chapters 2 (RV32I), 7 (M), 24 (opcode tables).
 */
#include "runtime.h"

enum {
    MEMORY_BASE = 0x10000,
    MEMORY_BYTES = 4 << 20,
    EXIT_FAULT = 0x7E,
    EXIT_REFUSED = 0x7D,
    SYS_WRITE = 64,
    SYS_EXIT = 93,
    SYS_EXIT_GROUP = 94,
    SYS_PROGRESS = 1000,
    SYS_SECTION = 1001,
    ENOSYS = 38,
    EFAULT = 14,
    ARGUMENTS_MAX = 64,
};

typedef int i32;
typedef long long i64;

static u8 memory[MEMORY_BYTES] __attribute__((aligned(4096)));
static struct meter meter;

/* ------------------------------------------------------------------ faults */

static void dump(void)
{
    for (int i = 1; i < 32; i++) {
        console_byte('x');
        console_decimal((u32)i);
        console_byte('=');
        console_hex(meter.registers[i]);
        console_byte(i % 8 == 7 ? '\n' : ' ');
    }
}

static void fault(const char *what, u32 value, u32 pc) __attribute__((noreturn, noinline));
static void fault(const char *what, u32 value, u32 pc)
{
    meter.pc = pc;
    console_text("rvemu: ");
    console_text(what);
    console_byte(' ');
    console_hex(value);
    console_text(" at pc ");
    console_hex(pc);
    console_byte('\n');
    dump();
    meter_section("run");
    power_off(EXIT_FAULT);
}

/* ------------------------------------------------------------------ the executable */

static void refuse(const char *what) __attribute__((noreturn));
static void refuse(const char *what)
{
    console_text("rvemu: the module is not an RV32 executable: ");
    console_text(what);
    console_byte('\n');
    power_off(EXIT_REFUSED);
}

static u32 field(u32 at, u32 bytes)
{
    u32 value = 0;
    for (u32 i = 0; i < bytes; i++)
        value |= (u32)module[at + i] << 8 * i;
    return value;
}

static int in_window(u32 address, u32 bytes)
{
    return bytes <= MEMORY_BYTES && address - MEMORY_BASE <= MEMORY_BYTES - bytes;
}

/* Copies the segments; returns the entry. */
static u32 load(void)
{
    if (module_bytes == 0)
        refuse("there is no boot module");
    if (module_bytes < 52 || field(0, 4) != 0x464C457F)
        refuse("no ELF header");
    if (field(4, 1) != 1 || field(5, 1) != 1)
        refuse("not 32-bit little endian");
    if (field(18, 2) != 243)
        refuse("another instruction set (e_machine is not 243)");
    if (field(16, 2) != 2)
        refuse("not linked at fixed addresses");
    if (field(36, 4) & 1)
        refuse("it uses compressed instructions");
    if (field(36, 4) & 6)
        refuse("it passes floating-point numbers in registers");
    u32 headers = field(28, 4), count = field(44, 2);
    if (field(42, 2) != 32 || count > 64 || headers > module_bytes || count * 32 > module_bytes - headers)
        refuse("program headers outside the file");
    for (u32 i = 0; i < count; i++) {
        u32 at = headers + 32 * i;
        u32 offset = field(at + 4, 4), address = field(at + 8, 4);
        u32 in_file = field(at + 16, 4), in_memory = field(at + 20, 4);
        if (field(at, 4) == 3)
            refuse("it needs a dynamic linker");
        if (field(at, 4) != 1 || in_memory == 0)
            continue;
        if (in_file > in_memory || offset > module_bytes || in_file > module_bytes - offset)
            refuse("a segment outside the file");
        if (!in_window(address, in_memory))
            refuse("a segment outside 0x00010000 to 0x0040ffff");
        memcpy(memory + (address - MEMORY_BASE), module + offset, in_file);
    }
    u32 entry = field(24, 4);
    if ((entry & 3) != 0 || !in_window(entry, 4))
        refuse("its entry is not the address of an instruction");
    return entry;
}

static void put32(u32 address, u32 value)
{
    *(u32 *)(memory + (address - MEMORY_BASE)) = value;
}

/* Puts the arguments at the end of memory, as Linux does; returns sp. */
static u32 place_arguments(void)
{
    u32 starts[ARGUMENTS_MAX];
    u32 count = 0;
    const char *name = "program";
    u32 bytes = text_length(name) + 1 + text_length(command_line) + 1;
    u32 at = (MEMORY_BASE + MEMORY_BYTES - bytes) & ~15u;
    char *to = (char *)memory + (at - MEMORY_BASE);
    starts[count++] = at;
    memcpy(to, name, text_length(name) + 1);
    u32 next = at + text_length(name) + 1;
    for (const char *c = command_line; *c;) {
        while (*c == ' ')
            c++;
        if (*c == 0 || count == ARGUMENTS_MAX)
            break;
        starts[count++] = next;
        while (*c && *c != ' ')
            memory[next++ - MEMORY_BASE] = (u8)*c++;
        memory[next++ - MEMORY_BASE] = 0;
    }
    /* argc, arguments, 0, no environment, an empty auxiliary vector. */
    u32 sp = (at - 4 * (count + 5)) & ~15u;
    put32(sp, count);
    for (u32 i = 0; i < count; i++)
        put32(sp + 4 + 4 * i, starts[i]);
    return sp;
}

/* ------------------------------------------------------------------ environment calls */

/* Returns a0, or does not return. */
static u32 environment_call(u32 number, u32 a0, u32 a1, u32 a2)
{
    switch (number) {
    case SYS_WRITE:
        if (!in_window(a1, a2))
            return (u32)-EFAULT;
        for (u32 i = 0; i < a2; i++)
            console_byte(memory[a1 - MEMORY_BASE + i]);
        return a2;
    case SYS_EXIT:
    case SYS_EXIT_GROUP:
        meter_section("run");
        power_off(a0 & 0xFF);
    case SYS_PROGRESS:
        report_progress(a0);
        return 0;
    case SYS_SECTION: {
        char name[32];
        u32 i = 0;
        while (i < sizeof name - 1 && in_window(a0 + i, 1) && memory[a0 + i - MEMORY_BASE] >= ' ') {
            name[i] = (char)memory[a0 + i - MEMORY_BASE];
            i++;
        }
        name[i] = 0;
        meter_section(name);
        return 0;
    }
    default:
        return (u32)-ENOSYS;
    }
}

/* ------------------------------------------------------------------ arithmetic of the M extension */

static u32 multiply_divide(u32 operation, u32 a, u32 b)
{
    switch (operation) {
    case 0:
        return a * b;
    case 1:
        return (u32)((u64)((i64)(i32)a * (i32)b) >> 32);
    case 2:
        return (u32)((u64)((i64)(i32)a * (i64)(u64)b) >> 32);
    case 3:
        return (u32)((u64)a * b >> 32);
    case 4:
        return b == 0 ? 0xFFFFFFFF : a == 0x80000000 && b == 0xFFFFFFFF ? a : (u32)((i32)a / (i32)b);
    case 5:
        return b == 0 ? 0xFFFFFFFF : a / b;
    case 6:
        return b == 0 ? a : a == 0x80000000 && b == 0xFFFFFFFF ? 0 : (u32)((i32)a % (i32)b);
    default:
        return b == 0 ? a : a % b;
    }
}

/* ------------------------------------------------------------------ the loop */

static void interpret(u32 pc) __attribute__((noreturn));
static void interpret(u32 pc)
{
    u32 *const x = meter.registers;
    for (;;) {
        if ((pc & 3) != 0)
            fault("misaligned instruction address", pc, pc);
        if (pc - MEMORY_BASE > MEMORY_BYTES - 4)
            fault("instruction access fault", pc, pc);
        u32 i = *(const u32 *)(memory + (pc - MEMORY_BASE));
        u32 function = i >> 12 & 7;
        u32 a = x[i >> 15 & 31];
        u32 next = pc + 4, value, address;
        /* The opcode is bits 6 to 0; 1 and 0 are set in all that are 32 bits long. */
        if ((i & 3) != 3)
            goto illegal;
        switch (i >> 2 & 31) {
        case 0x0D: /* LUI */
            value = i & 0xFFFFF000;
            break;
        case 0x05: /* AUIPC */
            value = pc + (i & 0xFFFFF000);
            break;
        case 0x1B: /* JAL */
            value = next;
            next = pc + ((u32)((i32)i >> 31) << 20 | (i & 0xFF000) | (i >> 20 & 1) << 11 | (i >> 21 & 0x3FF) << 1);
            if ((next & 3) != 0)
                fault("misaligned instruction address", next, pc);
            break;
        case 0x19: /* JALR */
            if (function != 0)
                goto illegal;
            value = next;
            next = (a + (u32)((i32)i >> 20)) & ~1u;
            if ((next & 3) != 0)
                fault("misaligned instruction address", next, pc);
            break;
        case 0x18: { /* branches */
            u32 b = x[i >> 20 & 31];
            int taken;
            switch (function) {
            case 0:
                taken = a == b;
                break;
            case 1:
                taken = a != b;
                break;
            case 4:
                taken = (i32)a < (i32)b;
                break;
            case 5:
                taken = (i32)a >= (i32)b;
                break;
            case 6:
                taken = a < b;
                break;
            case 7:
                taken = a >= b;
                break;
            default:
                goto illegal;
            }
            if (taken) {
                next = pc + ((u32)((i32)i >> 31) << 12 | (i >> 7 & 1) << 11 | (i >> 25 & 63) << 5 | (i >> 8 & 15) << 1);
                if ((next & 3) != 0)
                    fault("misaligned instruction address", next, pc);
            }
            goto retired;
        }
        case 0x00: /* loads */
            address = a + (u32)((i32)i >> 20);
            switch (function) {
            case 0:
                if (address - MEMORY_BASE > MEMORY_BYTES - 1)
                    goto load_fault;
                value = (u32)(i32)(signed char)memory[address - MEMORY_BASE];
                break;
            case 1:
                if (address - MEMORY_BASE > MEMORY_BYTES - 2)
                    goto load_fault;
                value = (u32)(i32) * (const short *)(memory + (address - MEMORY_BASE));
                break;
            case 2:
                if (address - MEMORY_BASE > MEMORY_BYTES - 4)
                    goto load_fault;
                value = *(const u32 *)(memory + (address - MEMORY_BASE));
                break;
            case 4:
                if (address - MEMORY_BASE > MEMORY_BYTES - 1)
                    goto load_fault;
                value = memory[address - MEMORY_BASE];
                break;
            case 5:
                if (address - MEMORY_BASE > MEMORY_BYTES - 2)
                    goto load_fault;
                value = *(const u16 *)(memory + (address - MEMORY_BASE));
                break;
            default:
                goto illegal;
            }
            break;
        case 0x08: { /* stores */
            u32 b = x[i >> 20 & 31];
            address = a + ((u32)((i32)i >> 25) << 5 | (i >> 7 & 31));
            switch (function) {
            case 0:
                if (address - MEMORY_BASE > MEMORY_BYTES - 1)
                    goto store_fault;
                memory[address - MEMORY_BASE] = (u8)b;
                break;
            case 1:
                if (address - MEMORY_BASE > MEMORY_BYTES - 2)
                    goto store_fault;
                *(u16 *)(memory + (address - MEMORY_BASE)) = (u16)b;
                break;
            case 2:
                if (address - MEMORY_BASE > MEMORY_BYTES - 4)
                    goto store_fault;
                *(u32 *)(memory + (address - MEMORY_BASE)) = b;
                break;
            default:
                goto illegal;
            }
            goto retired;
        }
        case 0x04: { /* register and immediate */
            u32 immediate = (u32)((i32)i >> 20);
            switch (function) {
            case 0:
                value = a + immediate;
                break;
            case 1:
                if (i >> 25 != 0)
                    goto illegal;
                value = a << (immediate & 31);
                break;
            case 2:
                value = (i32)a < (i32)immediate;
                break;
            case 3:
                value = a < immediate;
                break;
            case 4:
                value = a ^ immediate;
                break;
            case 5:
                if (i >> 25 == 0)
                    value = a >> (immediate & 31);
                else if (i >> 25 == 0x20)
                    value = (u32)((i32)a >> (immediate & 31));
                else
                    goto illegal;
                break;
            case 6:
                value = a | immediate;
                break;
            default:
                value = a & immediate;
                break;
            }
            break;
        }
        case 0x0C: { /* register and register */
            u32 b = x[i >> 20 & 31];
            if (i >> 25 == 1) {
                value = multiply_divide(function, a, b);
                break;
            }
            switch ((i >> 25) << 3 | function) {
            case 0:
                value = a + b;
                break;
            case 0x100:
                value = a - b;
                break;
            case 1:
                value = a << (b & 31);
                break;
            case 2:
                value = (i32)a < (i32)b;
                break;
            case 3:
                value = a < b;
                break;
            case 4:
                value = a ^ b;
                break;
            case 5:
                value = a >> (b & 31);
                break;
            case 0x105:
                value = (u32)((i32)a >> (b & 31));
                break;
            case 6:
                value = a | b;
                break;
            case 7:
                value = a & b;
                break;
            default:
                goto illegal;
            }
            break;
        }
        case 0x03: /* FENCE; FENCE.I: every fetch reads memory anyway */
            if (function > 1)
                goto illegal;
            goto retired;
        case 0x1C:
            if (i == 0x00100073)
                fault("breakpoint", i, pc);
            if (i != 0x00000073)
                goto illegal;
            meter.pc = pc;
            meter.instructions++;
            x[10] = environment_call(x[17], x[10], x[11], x[12]);
            pc = next;
            continue;
        default:
            goto illegal;
        }
        x[i >> 7 & 31] = value;
        x[0] = 0;
    retired:
        meter.instructions++;
        pc = next;
        continue;
    illegal:
        fault("illegal instruction", i, pc);
    load_fault:
        fault("load access fault", address, pc);
    store_fault:
        fault("store access fault", address, pc);
    }
}

void begin(void)
{
    u32 entry = load();
    meter.memory = (u32)memory;
    meter.memory_base = MEMORY_BASE;
    meter.memory_bytes = MEMORY_BYTES;
    meter.registers[2] = place_arguments();
    meter_at(&meter);
    meter_section("load");
    interpret(entry);
}
