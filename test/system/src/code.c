/* Fetching: self-modifying code, aliases and remapped pages, instructions across pages, 16-bit code and stacks. */
#include "probe.h"

#define P 1
#define W 2
#define U 4
#define WINDOW 0x40000000
#define FRAMES 0x400000

static u32 pd[1024] __attribute__((aligned(4096)));
static u32 pt[1024] __attribute__((aligned(4096)));

SNIP(patch_next, "movb $0x77, 1f+1; 1: mov $0x11, %al; movzx %al, %eax");
SNIP(patch_jump, "movl $0x12345678, 1f+1; jmp 1f; 1: mov $0, %eax");
SNIP(patch_opcode, "mov $5, %eax; movb $0x48, 1f; jmp 1f; 1: inc %eax");
SNIP(patch_loop, "xor %eax, %eax; mov $10, %ecx; 1: add $1, %eax; incb 1b+2; dec %ecx; jnz 1b; movb $1, 1b+2");
SNIP(patch_back, "xor %eax, %eax; mov $3, %ecx; 1: add $1, %eax; 2: nop; movb $0x40, 2b; dec %ecx; jnz 1b; movb $0x90, 2b");
SNIP(patch_string, "mov $1f, %edi; mov $3, %ecx; mov $0x40, %al; rep stosb; xor %eax, %eax; jmp 1f; 1: nop; nop; nop; nop");
SNIP(patch_long, "movl $0x90909090, 1f+2; jmp 1f; 1: .byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x40; nop");
SNIP(patch_split, "mov $7, %eax; movw $0x4040, 1f-1; jmp 2f; 2: nop; 1: nop; nop");
SNIP(patch_push, "mov %esp, %ebx; mov $1f+4, %esp; push $0x40404040; mov %ebx, %esp; xor %eax, %eax; jmp 1f; 1: nop; nop; nop; nop");
SNIP(patch_call, "mov %esp, %ebx; mov $3f+4, %esp; call 1f; 1: mov %ebx, %esp; mov 3f, %eax; sub $1b, %eax; jmp 4f; 3: .long 0; 4: nop");
SNIP(long_form, "mov $0x01020304, %eax; ret");

static void patches(int ring) {
  static const struct {
    const char *name;
    const char *code;
  } list[] = {{"next instruction", patch_next}, {"after a jump", patch_jump},   {"opcode", patch_opcode},
              {"loop", patch_loop},             {"loop opcode", patch_back},    {"string", patch_string},
              {"prefixes", patch_long},         {"two instructions", patch_split}, {"push", patch_push},
              {"call", patch_call}};
  for (u32 i = 0; i < sizeof list / sizeof *list; i++) {
    for (u32 again = 0; again < 2; again++) {
      fresh(ring);
      run(list[i].code);
      put("r%d ", ring);
      show(list[i].name);
      put(" eax=%l ecx=%l\n", seen.eax, seen.ecx);
    }
  }
}

static void map(u32 index, u32 frame, u32 bits) {
  pt[index] = FRAMES + frame * 4096 + bits;
  invlpg(WINDOW + index * 4096);
}

/* B8 imm32, INT 0x70 at `to`. */
static void write_mov(u8 *to, u32 value) {
  to[0] = 0xb8;
  for (int i = 0; i < 4; i++) to[1 + i] = value >> 8 * i;
  to[5] = 0xcd;
  to[6] = DONE;
}

static u32 call_at(u32 at, int ring) {
  fresh(ring);
  run((const char *)at);
  return seen.vector == DONE ? seen.eax : 0xdead0000 | seen.vector;
}

static void remap(int ring) {
  for (u32 page = 4; page < 8; page++) {
    u32 code = WINDOW + page * 4096 + 0x100;
    for (u32 frame = 10; frame < 14; frame++) write_mov((u8 *)(FRAMES + frame * 4096 + 0x100), 0x1000 + frame);
    put("r%d page %d:", ring, page);
    for (u32 n = 0; n < 6; n++) {
      map(page, 10 + n % 4, P | U);
      put(" %x", call_at(code, ring));
    }
    for (u32 n = 0; n < 4; n++) {
      pt[page] = (FRAMES + (10 + n) * 4096) | P | U;
      write_cr3(read_cr3());
      put(" %x", call_at(code, ring));
    }
    /* Through the identity map, an alias. */
    map(page, 10, P | U);
    write_mov((u8 *)(FRAMES + 10 * 4096 + 0x100), 0x2000);
    put(" alias %x", call_at(code, ring));
    map(20, 10, P | W | U);
    write_mov((u8 *)(WINDOW + 20 * 4096 + 0x100), 0x2001);
    put(" %x", call_at(code, ring));
    *(u32 *)(WINDOW + 20 * 4096 + 0x101) = 0x2002;
    put(" %x", call_at(code, ring));
    /* Not there, and there again. */
    map(page, 10, U);
    put(" absent %x", call_at(code, ring));
    map(page, 10, P);
    put(" supervisor %x", call_at(code, ring));
    map(page, 10, P | U);
    put(" back %x\n", call_at(code, ring));
  }
}

/* MOV EAX,imm32 with its last `bytes` bytes in the second page. */
static void across(int ring) {
  for (u32 bytes = 1; bytes < 6; bytes++) {
    u32 code = WINDOW + 9 * 4096 - 5 + bytes;
    if (bytes == 5) code = WINDOW + 9 * 4096 - 1;
    map(8, 20, P | W | U), map(9, 21, P | W | U), map(10, 22, P | W | U);
    if (bytes == 5) write_mov((u8 *)code + 1, 0x4444), *(u8 *)code = 0x66, *((u8 *)code + 1) = 0x90;
    write_mov((u8 *)code + (bytes == 5 ? 2 : 0), 0x30303030 + bytes);
    put("r%d %d across: %x", ring, bytes, call_at(code, ring));
    map(9, 21, U);
    fresh(ring);
    run((const char *)code);
    put(", ");
    show("absent");
    map(9, 21, P);
    fresh(ring);
    run((const char *)code);
    put(", ");
    show("supervisor");
    map(9, 21, P | W | U);
    put(", again %x", call_at(code, ring));
    /* Other bytes in the second page: written, then mapped. */
    u8 *second = (u8 *)(WINDOW + 9 * 4096);
    u8 old = second[0];
    if (bytes > 1 && bytes < 5) {
      second[0] ^= 0xff;
      put(", written %x", call_at(code, ring));
      second[0] = old;
    }
    for (u32 i = 0; i < 1024; i++) ((u32 *)(FRAMES + 23 * 4096))[i] = ((u32 *)(FRAMES + 21 * 4096))[i];
    if (bytes < 5 && bytes > 1) ((u8 *)(FRAMES + 23 * 4096))[bytes - 2] ^= 0x0f;
    map(9, 23, P | U);
    put(", remapped %x", call_at(code, ring));
    map(9, 21, P | U);
    put(", mapped back %x\n", call_at(code, ring));
  }
}

/* ---------------------------------------------------------------- 16 bits */

void enter_probe(struct regs *start);
extern char push_wrap[], code16[], code16_end[], code16_mixed[], code16_stack[];
asm(".pushsection .snip, \"ax\"\n.balign 4096\n.skip 16\n.code16\n"
    "code16: mov $0x1234, %ax; push %ax; pop %bx; mov $0x10, %si; mov %cs:(%si), %cx; mov $0xffff, %dx; inc %dx; int $0x70\n"
    ".code32\n.balign 16\n"
    "code16_mixed: .code16; mov $3, %cx; xor %ax, %ax; 1: add $2, %ax; loop 1b; mov $0x11223344, %edx; int $0x70\n"
    ".code32\n.balign 16\n"
    "code16_stack: .code16; call 1f; 1: pop %dx; sub $(1b - code16_base), %dx; pusha; popa; enter $4, $0; leave; pushl $0x55667788; pop %bx; pop %cx; int $0x70\n"
    ".code32\ncode16_end: .set code16_base, code16 - 16\n.popsection");

static void show_short(const char *name) {
  put("%s: ", name);
  if (seen.vector == DONE) put("ok");
  else put("vector %d error %x", seen.vector, seen.error);
  put(" eip=%x cs=%w eax=%l ebx=%l ecx=%l edx=%l", seen.eip, seen.cs, seen.eax, seen.ebx, seen.ecx, seen.edx);
  if (seen.cs & 3) put(" esp=%l", seen.esp - r.esp);
  put("\n");
}

static void sixteen(int ring) {
  u32 base = (u32)code16 - 16;
  set_descriptor(gdt, SLOT(0), base, 0xffff, CODE_XR(ring), 0);
  set_descriptor(gdt, SLOT(1), 0, 0xffff, DATA_RW(ring), 0);
  set_descriptor(gdt, SLOT(2), 0, 0xfffff, DATA_RW(ring), GRANULAR);
  set_descriptor(gdt, SLOT(3), base, 0xfffff, CODE_XR(ring), BIG | GRANULAR);
  static const struct {
    const char *name;
    char *code;
  } list[] = {{"16", code16}, {"mixed", code16_mixed}, {"stack", code16_stack}};
  for (u32 i = 0; i < 3; i++) {
    for (u32 ss16 = 0; ss16 < 2; ss16++) {
      fresh(ring);
      r.eip = (u32)list[i].code - base;
      r.cs = SLOT(0) | ring;
      if (ss16) {
        r.ss = SLOT(1) | ring;
        r.esp = ring ? 0x98767ff0 : 0x7ff0;
      }
      put("r%d ss16=%d ", ring, ss16);
      enter_probe(&r);
      show_short(list[i].name);
    }
    if (i == 1) continue;
    /* The same bytes as 32-bit code. */
    fresh(ring);
    r.eip = (u32)list[i].code - base;
    r.cs = SLOT(3) | ring;
    put("r%d as 32 bits ", ring);
    enter_probe(&r);
    show_short(list[i].name);
  }
  /* SP wraps at 64 KiB and leaves the upper half of ESP alone. */
  if (ring == 0) return;
  static const u32 tops[] = {0xabcd0002, 0xabcd0000, 0xabcd0004};
  for (u32 i = 0; i < 3; i++) {
    fresh(ring);
    r.ss = SLOT(1) | ring;
    r.esp = tops[i];
    run(push_wrap);
    put("r%d push at %l ", ring, tops[i]);
    show_short("wrap");
  }
}
asm(".pushsection .snip, \"ax\"\n.balign 16\npush_wrap: push %eax; mov %esp, %edx; pushw %bx; mov %esp, %ecx; popw %ax; pop %ebx; int $0x70\n.popsection");

SNIP(jump_word, "mov $0x12345, %ebx; jmp *%bx");
SNIP(far_16_and_back, "lcall *(%ebx); mov $0x600df00d, %edx");
SNIP(jcxz_word, "mov $0x10000, %ecx; mov $1, %eax; addr16 jecxz 1f; mov $2, %eax; 1: nop");
SNIP(loop_word, "mov $0x20003, %ecx; xor %eax, %eax; 1: inc %eax; addr16 loop 1b");
SNIP(lods_word, "mov $0x12348000, %esi; addr16 lodsl; mov %esi, %edx");
SNIP(addr_word, "mov $0x7ff0, %bx; mov $0x10, %si; addr16 mov 0x0(%bx,%si), %eax; lea 4(%ebx), %edx; addr16 lea 0x8020(%bx,%si), %ecx");

void kernel_main(void) {
  for (u32 i = 0; i < 4; i++) pd[i] = i << 22 | 0x80 | P | W | U;
  pd[WINDOW >> 22] = (u32)pt | P | W | U;
  write_cr4(read_cr4() | 0x10);
  write_cr3((u32)pd);
  write_cr0(read_cr0() | 0x80010000);
  *(u32 *)0x8000 = 0xcafe1234;
  for (int ring = 0; ring <= 3; ring += 3) {
    patches(ring);
    remap(ring);
    across(ring);
    sixteen(ring);
    static const struct {
      const char *name;
      const char *code;
    } list[] = {{"jecxz", jcxz_word}, {"loop", loop_word}, {"lods", lods_word}, {"address", addr_word}};
    for (u32 i = 0; i < 4; i++) {
      fresh(ring);
      run(list[i].code);
      put("r%d ", ring);
      show(list[i].name);
      put(" eax=%l ecx=%l edx=%l\n", seen.eax, seen.ecx, seen.edx);
    }
    map(0x2345 >> 12, 0, 0);
    *(u16 *)0x2345 = 0x70cd;
    fresh(ring);
    run(jump_word);
    put("r%d ", ring);
    show("jump word");
    put("\n");
  }
}
