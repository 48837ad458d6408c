/* Floating-point errors as a PC/AT reports them, with CR0.NE clear: FERR is interrupt 13, port 0xF0 takes it back and has
 * the CPU ignore the error; with CR0.NE set they are exception 16. Nothing here looks at where a request came in: real
 * processors stand still before the instruction that waits, emulators go on behind it. */
#include "probe.h"

#define NE 0x20
#define VECTOR 0x2d /* interrupt 13 */

SNIP(divide_wait, "fldcw control; fld1; fldz; .byte 0xde, 0xf9; sti; fwait; nop; nop; cli");
SNIP(wait_alone, "sti; fwait; nop; nop; cli");
SNIP(no_wait, "fldcw control; fld1; fldz; .byte 0xde, 0xf9; fnstsw %ax; nop; nop");
SNIP(invalid_wait, "fldcw control; fldz; fldz; .byte 0xde, 0xf9; sti; fwait; nop; nop; cli");
SNIP(twice, "fldcw control; fld1; fldz; .byte 0xde, 0xf9; sti; fwait; nop; nop; fld1; fldz; .byte 0xde, 0xf9; fwait; nop; nop; cli");
SNIP(user_wait, "fldcw control; fld1; fldz; .byte 0xde, 0xf9; fwait; nop; nop");

u32 control;
static u32 taken, statuses[4], waits_inside, clears;

static u32 status(void) {
  u32 word;
  asm volatile("fnstsw %%ax" : "=a"(word));
  return word & 0xffff;
}

static int on_request(struct frame *f) {
  (void)f;
  if (taken < 4) statuses[taken] = status();
  taken++;
  out8(0xf0, 0);
  if (waits_inside) asm volatile("fwait; fwait");
  if (clears) asm volatile("fnclex");
  out8(0xa0, 0x20);
  out8(0x20, 0x20);
  return 0;
}

static int on_exception(struct frame *f) {
  (void)f;
  if (taken < 4) statuses[taken] = 0x10000 | status();
  taken++;
  asm volatile("fnclex");
  return 0;
}

static void probe(const char *name, const char *code, int ring, u32 word, u32 ne) {
  asm volatile("fninit");
  write_cr0((read_cr0() & ~NE) | ne);
  taken = 0;
  control = word;
  fresh(ring);
  if (ring == 3) r.eflags |= IF;
  run(code);
  put("%s, control %w, ne=%d: %d", name, word, ne != 0, taken);
  for (u32 i = 0; i < taken && i < 4; i++) put(" %x", statuses[i]);
  put(", after %w\n", status());
}

void kernel_main(void) {
  hooks[VECTOR] = on_request;
  hooks[16] = on_exception;
  static const u8 first[] = {0x11, 0x20, 4, 1}, second[] = {0x11, 0x28, 2, 1};
  for (u32 i = 0; i < 4; i++) out8(i ? 0x21 : 0x20, first[i]), out8(i ? 0xa1 : 0xa0, second[i]);
  out8(0x21, 0xfb);
  out8(0xa1, 0xdf);
  for (u32 ne = 0; ne <= NE; ne += NE) {
    clears = 1;
    probe("masked", divide_wait, 0, 0x37f, ne);
    probe("zero", divide_wait, 0, 0x37b, ne);
    probe("invalid", invalid_wait, 0, 0x37e, ne);
    probe("twice", twice, 0, 0x37b, ne);
    probe("nobody waits", no_wait, 0, 0x37b, ne);
    probe("ring 3", user_wait, 3, 0x37b, ne);
    if (ne) break;
    waits_inside = 1;
    probe("handler waits", divide_wait, 0, 0x37b, ne);
    probe("handler waits, twice", twice, 0, 0x37b, ne);
    waits_inside = 0;
    clears = 0;
    probe("ignored", divide_wait, 0, 0x37b, ne);
    /* What was not cleared is ignored on. */
    taken = 0;
    fresh(0);
    run(wait_alone);
    put("still ignored: %d, status %w\n", taken, status());
    asm volatile("fnclex");
    probe("after that", divide_wait, 0, 0x37b, ne);
  }
}
