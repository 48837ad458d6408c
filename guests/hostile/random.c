/*
 * Runs machine code that it is given: a boot module with programs, one after the other, in ring 0 or in ring 3, with paging on
 * and with registers that the program asks for. Before each of them everything that the last may have spoilt is put back:
 * page tables, descriptor tables, control registers. Without a module it has nothing to do.
 * A program is: length, ring, eax, ecx, edx, ebx, ebp, esi, edi (32 bits each), then that many bytes of code.
 */
#include "hostile.h"
HOSTILE("hostile-random");

/* Fixed places, so that random programs can find them; the first 12 MiB are mapped one to one. */
#define DATA 0x400000u
#define DIRECTORY 0x500000u
#define TABLE 0x501000u /* of the window and of the top 4 MiB */
#define OWN_GDT 0x510000u
#define OWN_IDT 0x511000u
#define WINDOW 0x10000000u

struct program {
    u32 length, ring, registers[7];
    u8 code[];
};

static const struct program *now;
const u32 *registers; /* named by assembly code */
u32 target;

static void run(u32 unused)
{
    (void)unused;
    __asm__ volatile("movl registers, %%eax\n\tmovl 4(%%eax), %%ecx\n\tmovl 8(%%eax), %%edx\n\tmovl 12(%%eax), %%ebx\n\t"
                     "movl 16(%%eax), %%ebp\n\tmovl 20(%%eax), %%esi\n\tmovl 24(%%eax), %%edi\n\tmovl (%%eax), %%eax\n\t"
                     "call *target"
                     : : : "eax", "ecx", "edx", "ebx", "esi", "edi", "memory", "cc");
}

static void copy(u32 to, const void *from, u32 words)
{
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static void put_back(void)
{
    static const struct table_pointer own_gdt = {sizeof gdt - 1, OWN_GDT}, own_idt = {sizeof idt - 1, OWN_IDT};
    volatile u32 *words = at(DIRECTORY);

    paging_off();
    words[0] = 0 | PRESENT | WRITABLE | USER | LARGE;
    words[1] = 0x400000 | PRESENT | WRITABLE | USER | LARGE;
    words[2] = 0x800000 | PRESENT | WRITABLE | USER | LARGE;
    words[WINDOW >> 22] = words[1023] = TABLE | PRESENT | WRITABLE | USER;
    words[64 + 1] = 0x40000000 | PRESENT | WRITABLE | USER | LARGE; /* beyond RAM */
    for (u32 i = 0; i < 16; i++) {
        at(TABLE)[i] = (DATA + i * 4096) | PRESENT | WRITABLE | ((i & 1) != 0 ? USER : 0);
        at(TABLE)[16 + i] = (DIRECTORY + i * 4096) | PRESENT | ((i & 1) != 0 ? WRITABLE : 0);
        at(TABLE)[32 + i] = (0x40000000 + i * 0x1000000) | PRESENT | WRITABLE | USER;
    }
    copy(OWN_GDT, gdt, GDT_ENTRIES * 2);
    copy(OWN_IDT, idt, 512);
    at(OWN_GDT)[11] &= ~0x200u; /* the TSS is not busy */
    lgdt(&own_gdt);
    lidt(&own_idt);
    lldt(0);
    ltr(SEL_TSS);
    write_cr4(CR4_PSE | CR4_PGE);
    write_cr3(DIRECTORY);
    write_cr0(CR0_PE | CR0_ET | CR0_WP | CR0_PG);
    __asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %0, %%fs\n\tmovl %0, %%gs\n\tmovl %1, %%dr7\n\tcld"
                     : : "r"(SEL_DATA), "r"(0x400));
}

void guest(void)
{
    const u32 *module;
    u32 end;

    if ((boot_information[0] & 8) == 0 || boot_information[5] == 0) {
        print("%s: no programs\n", guest_name);
        return;
    }
    module = (const u32 *)boot_information[6];
    now = (const struct program *)module[0];
    end = module[1];
    gdt[8] = descriptor(TOP - 0x1000, 0xFFFFF, 0x93, 0xC);
    gdt[9] = descriptor(0, 0xFFBFE, 0x97, 0xC);
    gdt[10] = descriptor(DATA, 0xFFFF, 0xF3, 0x4);
    gdt[11] = gate(DATA, SEL_CODE, 0xEC);
    while ((u32)now + sizeof *now <= end) {
        const struct program *program = now;

        now = (const struct program *)((u32)program->code + program->length);
        put_back();
        copy(DATA, program->code, (program->length + 3) / 4);
        registers = program->registers;
        target = DATA;
        if (program->ring == 0) attempt(run, 0);
        else attempt_user((void (*)(u32))DATA, registers[0], DATA + 0x8000);
        cli();
        outl(0xE4, attempts);
    }
    print("%s: done\n", guest_name);
}
