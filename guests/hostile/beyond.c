/*
 * Looks for memory beyond its own: the whole physical address space above RAM, read and written without paging, through
 * segments, and through page tables with small and with large pages.
 */
#include "hostile.h"
HOSTILE("hostile-beyond");

static u32 strange; /* values that are not those of an empty bus */

static void probe(u32 address)
{
    attempt(try_read, address);
    if (got != 0 && got != 0xFFFFFFFF) strange++;
    attempt(try_write, address);
    attempt(try_read, address);
    if (got == 0xBADC0DCC) strange++;
}

static void read_through_fs(u32 offset)
{
    __asm__ volatile("movl %%fs:(%1), %0" : "=r"(got) : "r"(offset));
}
static void write_through_fs(u32 offset)
{
    __asm__ volatile("movl %0, %%fs:(%1)" : : "r"(0xBADC0DCC), "r"(offset));
}

static void load_fs(u32 selector) { __asm__ volatile("movl %0, %%fs" : : "r"(selector)); }

/* The pages of devices are not what this is about. */
static int is_device(u32 address) { return address >= 0xFEC00000; }

void guest(void)
{
    u32 first = (memory_end + 0xFFFFF) & ~0xFFFFFu;

    probe(first + 4);
    for (u32 address = first; !is_device(address) && address >= first; address += 0x00310000) probe(address);
    tell("without paging, strange values", strange);

    strange = 0;
    for (u32 base = first; !is_device(base) && base >= first; base += 0x03000000) {
        gdt[8] = descriptor(base, 0xFFFFF, 0x93, 0xC);
        gdt[9] = descriptor(base, 0x00010, 0x97, 0xC); /* expand-down */
        for (u32 selector = SEL_FREE; selector <= SEL_FREE + 8; selector += 8) {
            load_fs(selector);
            attempt(read_through_fs, 0x20000);
            if (got != 0 && got != 0xFFFFFFFF) strange++;
            attempt(write_through_fs, 0x20000);
            attempt(read_through_fs, 0x20000);
            if (got == 0xBADC0DCC) strange++;
        }
    }
    load_fs(SEL_DATA);
    tell("through segments, strange values", strange);

    strange = 0;
    map_low(PRESENT | WRITABLE);
    directory[1] = (u32)low_table | PRESENT | WRITABLE;
    paging_on();
    for (u32 target = first; !is_device(target) && target >= first; target += 0x00710000) {
        low_table[1023] = target | PRESENT | WRITABLE | USER;
        invlpg(0x7FF000);
        probe(0x7FF010);
        directory[2] = (target & 0xFFC00000) | PRESENT | WRITABLE | USER | LARGE;
        write_cr3((u32)directory);
        if ((target & 0xFFC00000) >= first) probe(0x800000 + (target & 0x3FF000));
    }
    paging_off();
    tell("through page tables, strange values", strange);
    tell("exceptions", faults);
}
