/*
 * What the guests with one purpose each share: tables, printing, exceptions as results, one timer interrupt.
 * Invariant: entered in flat 32-bit protected mode without paging; interrupts stay masked at the 8259 unless asked for.
 * Source: Intel SDM volumes 2 and 3; ports of the PC/AT, of QEMU (0xE9, 0xF4) and of hvsim (0xE4).
 */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Selectors of the GDT that start.S loads. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_USER_CODE 0x1B
#define SEL_USER_DATA 0x23
#define SEL_TSS 0x28
#define SEL_LDT 0x30
#define SEL_CALL_GATE 0x38
#define SEL_FREE 0x40 /* the first of 8 entries for the guest's own use */
#define GDT_ENTRIES 16

#define EFLAGS_IF 0x200u
#define CR0_PE 0x00000001u
#define CR0_ET 0x00000010u
#define CR0_WP 0x00010000u
#define CR0_PG 0x80000000u
#define CR4_PSE 0x00000010u
#define CR4_PGE 0x00000080u

#define PRESENT 1u
#define WRITABLE 2u
#define USER 4u
#define LARGE 0x80u

#define GP 0x10Du /* result of attempt(): #GP */
#define PF 0x10Eu
#define UD 0x106u

struct table_pointer {
    u16 limit;
    u32 base;
} __attribute__((packed));

extern u64 gdt[GDT_ENTRIES];
extern u64 idt[256];
extern u64 ldt[4];
extern u32 tss[26];
extern u8 stack_top[], image_end[];
extern u32 memory_end; /* end of RAM, in bytes */
extern const u32 *boot_information; /* Multiboot, section 3.3 */

extern volatile u32 faults, fault_vector, fault_error, fault_eip, fault_address;
extern volatile u32 calls, call_selector, call_flags, interrupts;
extern u32 attempts;

u32 attempt(void (*code)(u32), u32 argument);
u32 attempt_user(void (*code)(u32), u32 argument, u32 stack);

void guest(void); /* what the guest is for: the one function that each of them has */
extern const char guest_name[];

void print(const char *format, ...); /* %x, %u, %s */
void finish(u32 exit_code) __attribute__((noreturn));
u64 descriptor(u32 base, u32 limit, u32 access, u32 flags);
u64 gate(u32 handler, u32 selector, u32 access);

/* Asks for one timer interrupt, waits until the 8259 has the request or a handler has run; the number of interrupts. */
void request_interrupt(void);
u32 interrupts_taken(void);

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port)
{
    u8 value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline u32 read_cr0(void) { u32 v; __asm__ volatile("movl %%cr0, %0" : "=r"(v)); return v; }
static inline void write_cr0(u32 v) { __asm__ volatile("movl %0, %%cr0" : : "r"(v) : "memory"); }
static inline void write_cr3(u32 v) { __asm__ volatile("movl %0, %%cr3" : : "r"(v) : "memory"); }
static inline void write_cr4(u32 v) { __asm__ volatile("movl %0, %%cr4" : : "r"(v) : "memory"); }
static inline void invlpg(u32 address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }
static inline void lgdt(const struct table_pointer *p) { __asm__ volatile("lgdt %0" : : "m"(*p)); }
static inline void lidt(const struct table_pointer *p) { __asm__ volatile("lidt %0" : : "m"(*p)); }
static inline void lldt(u16 selector) { __asm__ volatile("lldt %0" : : "r"(selector)); }
static inline void ltr(u16 selector) { __asm__ volatile("ltr %0" : : "r"(selector)); }
static inline volatile u32 *at(u32 address) { return (volatile u32 *)address; }

/* xorshift32 (13, 17, 5). */
static inline u32 next_random(u32 *state)
{
    u32 x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* One step of a checksum (FNV-1a, by words). */
static inline u32 mix(u32 sum, u32 value) { return (sum ^ value) * 0x01000193u; }

#endif
