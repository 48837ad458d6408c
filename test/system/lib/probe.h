/* What a probe kernel is written with: start code in a ring, see what it ran into, print one line about it. */
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;

/* Selectors of the fixed part of the GDT. SLOT(n) is free for probes, n below 40. */
#define KCODE 0x08
#define KDATA 0x10
#define UCODE 0x1b
#define UDATA 0x23
#define TSSSEL 0x28
#define CODE1 0x31
#define DATA1 0x39
#define CODE2 0x42
#define DATA2 0x4a
#define LDTSEL 0x50
#define SLOT(n) (0x60 + 8 * (n))
#define DONE 0x70 /* vector that ends a probe well */

#define IF 0x200
#define IOPL(n) ((n) << 12)

/* Descriptor attributes: bits 8-15 of the high word, and the flags G, D/B as bits 12, 14 of `flags`. */
#define DATA_RW(dpl) (0x93 | (dpl) << 5)
#define DATA_RO(dpl) (0x91 | (dpl) << 5)
#define DATA_DOWN(dpl) (0x97 | (dpl) << 5)
#define CODE_XR(dpl) (0x9b | (dpl) << 5)
#define CODE_X(dpl) (0x99 | (dpl) << 5)
#define CODE_CONF(dpl) (0x9f | (dpl) << 5)
#define PRESENT 0x80
#define BIG 0x4
#define GRANULAR 0x8

struct regs {
  u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
  u32 gs, fs, es, ds;
  u32 eip, cs, eflags, ss;
};
struct frame {
  u32 gs, fs, es, ds;
  u32 edi, esi, ebp, esp0, ebx, edx, ecx, eax;
  u32 vector, error, eip, cs, eflags, esp, ss;
};
struct tss {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  u32 es, cs, ss, ds, fs, gs, ldt;
  u16 trap, iomap;
  u8 map[8192 + 1];
} __attribute__((packed));

extern struct regs r;       /* what the next probe starts with */
extern struct frame seen;   /* what the last one ran into */
extern u32 seen_cr2;
extern struct tss tss;
extern u32 gdt[64][2], idt[256][2], ldt[16][2];
/* May handle a trap of this vector and resume (return 0), or end the probe (return 1). */
extern int (*hooks[128])(struct frame *f);
extern char stubs[], stack0[], stack1[], stack2[], stack3[], trap_stack[];
#define STACK_BYTES 4096

void *memcpy(void *to, const void *from, unsigned n);
void setup_tables(void);
void setup_task(void);
void finish(u32 code) __attribute__((noreturn));
void set_descriptor(u32 table[][2], u32 selector, u32 base, u32 limit, u32 attributes, u32 flags);
void set_gate(u32 vector, u32 selector, u32 offset, u32 attributes);
void set_call_gate(u32 table[][2], u32 selector, u32 target, u32 offset, u32 attributes, u32 parameters);
void fresh(int ring);
void run(const char *code);
void put(const char *format, ...);
void show(const char *name); /* "name: #GP(0010) +3", without a line end */
void check(const char *name, const char *code, int ring); /* fresh, run, show, line end */

static inline void out8(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 read_cr0(void) { u32 v; asm volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline u32 read_cr2(void) { u32 v; asm volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static inline u32 read_cr3(void) { u32 v; asm volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline u32 read_cr4(void) { u32 v; asm volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void write_cr0(u32 v) { asm volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
static inline void write_cr3(u32 v) { asm volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
static inline void write_cr4(u32 v) { asm volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
static inline void invlpg(u32 at) { asm volatile("invlpg (%0)" : : "r"(at) : "memory"); }
static inline void lgdt(u32 base, u16 limit) {
  struct { u16 limit; u32 base; } __attribute__((packed)) d = {limit, base};
  asm volatile("lgdt %0" : : "m"(d));
}
static inline void lidt(u32 base, u16 limit) {
  struct { u16 limit; u32 base; } __attribute__((packed)) d = {limit, base};
  asm volatile("lidt %0" : : "m"(d));
}

/* Code of a probe. It ends well with INT 0x70. */
#define SNIP(name, code) \
  extern char name[]; \
  asm(".pushsection .snip, \"ax\"\n.balign 16\n" #name ":\n" code "\nint $0x70\n.popsection")
