/* Changes of privilege: call gates, far transfers, far returns, IRET, interrupts, and the stack switch, in all rings. */
#include "probe.h"

#define LOW 0x8000 /* code that a 16-bit offset can name */

SNIP(far_call, "lcall *(%ebx)");
SNIP(far_jump, "ljmp *(%ebx)");
SNIP(far_call_params, "push $0x33333333; push $0x22222222; push $0x11111111; lcall *(%ebx)");
SNIP(far_call_words, "pushw $0x3333; pushw $0x2222; pushw $0x1111; lcall *(%ebx)");
SNIP(far_call_return, "push $0x33333333; push $0x22222222; lcall *(%ebx); mov %esp, %edi");
SNIP(landing, "");
SNIP(landing_return, "lret $8");
SNIP(gate_handler, "mov %esp, %eax");
SNIP(do_lret, "lret");
SNIP(do_lret_imm, "lret $12");
SNIP(do_iret, "iret");
SNIP(do_iret_word, "iretw");
SNIP(int_50, "int $0x50");
SNIP(use_all, "mov %ds, %eax; mov %es, %ecx; mov %fs, %edx; mov %gs, %esi");
SNIP(empty, "");

static const u32 code_of[] = {KCODE, CODE1, CODE2, UCODE}, data_of[] = {KDATA, DATA1, DATA2, UDATA};
static char *const stacks[] = {stack0, stack1, stack2, stack3};
static struct {
  u32 offset;
  u16 selector;
} far;

static void brief(void) {
  if (seen.vector == DONE) put(" cs=%x", seen.cs);
  else if (seen.vector == 13) put(" GP(%x)", seen.error);
  else if (seen.vector == 11) put(" NP(%x)", seen.error);
  else if (seen.vector == 12) put(" SS(%x)", seen.error);
  else if (seen.vector == 10) put(" TS(%x)", seen.error);
  else put(" vector %d", seen.vector);
  if (seen.vector != DONE && seen.eip != r.eip) put("+%x", seen.eip - r.eip);
}

/* Which transfer reaches which segment, directly. */
static void direct(void) {
  for (u32 dpl = 0; dpl < 4; dpl++) {
    set_descriptor(gdt, SLOT(dpl), 0, 0xfffff, CODE_XR(dpl), BIG | GRANULAR);
    set_descriptor(gdt, SLOT(4 + dpl), 0, 0xfffff, CODE_CONF(dpl), BIG | GRANULAR);
  }
  set_descriptor(gdt, SLOT(8), 0, 0xfffff, CODE_XR(0) & ~PRESENT, BIG | GRANULAR);
  set_descriptor(gdt, SLOT(9), 0, 0xfffff, CODE_XR(3) & ~PRESENT, BIG | GRANULAR);
  set_descriptor(gdt, SLOT(10), 0, 0xfffff, DATA_RW(3), BIG | GRANULAR);
  set_descriptor(gdt, SLOT(11), 0, 0xfffff, 0xe2, 0);
  set_descriptor(gdt, SLOT(12), 0, 0xfffff, 0xee, 0);
  set_descriptor(gdt, SLOT(13), 0, 0xfffff, CODE_X(3), BIG | GRANULAR);
  static const char *const names[] = {"xr0", "xr1", "xr2", "xr3", "conf0", "conf1", "conf2", "conf3",
                                      "np0", "np3", "data", "ldt", "intgate", "x3"};
  for (int ring = 0; ring < 4; ring++) {
    for (u32 slot = 0; slot < 15; slot++) {
      put("r%d %s:", ring, slot < 14 ? names[slot] : "null");
      for (u32 rpl = 0; rpl < 4; rpl++) {
        for (u32 call = 0; call < 2; call++) {
          fresh(ring);
          far.selector = slot < 14 ? SLOT(slot) | rpl : rpl;
          far.offset = (u32)landing;
          r.ebx = (u32)&far;
          run(call ? far_call : far_jump);
          brief();
        }
      }
      put("\n");
    }
  }
}

/* Through call gates. */
static void gates(void) {
  for (int ring = 0; ring < 4; ring++) {
    for (u32 gate = 0; gate < 4; gate++) {
      for (u32 target = 0; target < 8; target++) {
        put("r%d gate%d %s%d:", ring, gate, target < 4 ? "xr" : "conf", target & 3);
        for (u32 rpl = 0; rpl < 4; rpl++) {
          for (u32 call = 0; call < 2; call++) {
            fresh(ring);
            set_call_gate(gdt, SLOT(20), SLOT(target) | (rpl & 1 ? 3 : 0), (u32)landing, 0x8c | gate << 5, 0);
            far.selector = SLOT(20) | rpl;
            far.offset = 0xdeadbeef;
            r.ebx = (u32)&far;
            run(call ? far_call : far_jump);
            brief();
          }
        }
        put("\n");
      }
    }
  }
}

static u32 through(const char *name, int ring, const char *code, u32 target, u32 attributes, u32 parameters, const char *to) {
  set_call_gate(gdt, SLOT(20), target, (u32)to, attributes, parameters);
  fresh(ring);
  far.selector = SLOT(20) | ring;
  r.ebx = (u32)&far;
  run(code);
  show(name);
  put(" cs=%w", seen.cs);
  return seen.vector == DONE;
}

/* The words that a transfer has put on a stack, from `esp` to `top`; values that depend on the layout get names. */
static void words(u32 esp, u32 top) {
  put(" [");
  for (u32 at = esp; at < top; at += 4) {
    u32 v = *(u32 *)at;
    if (v - r.eip < 64) put(" eip+%x", v - r.eip);
    else if (v == r.esp || v == r.esp - 12 || v == r.esp - 6 || v == r.esp - 8) put(" esp-%d", r.esp - v);
    else if ((v & 0xffff) == (r.esp & 0xffff)) put(" %w:esp", v >> 16);
    else if ((v >> 16) == ((r.esp - 6) & 0xffff)) put(" esp-6:%w", v);
    else put(" %x", v);
  }
  put(" ]");
}

static void inner_stacks(void) {
  char *low_landing = (char *)LOW;
  memcpy(low_landing, landing, 2);
  for (int ring = 1; ring < 4; ring++) {
    for (int target = 0; target < ring; target++) {
      char *top = target == 0 ? trap_stack + STACK_BYTES : stacks[target] + STACK_BYTES;
      for (u32 parameters = 0; parameters < 4; parameters += 3) {
        if (through(parameters ? "gate with parameters" : "gate", ring, far_call_params, code_of[target] & ~3, 0xec, parameters, landing)) {
          put(" ss=%w", target ? seen.ss : KDATA);
          u32 esp = target ? seen.esp : (u32)top - 16 - 4 * parameters;
          put(" used %d", (u32)top - esp);
          words(esp, (u32)top);
        }
        put("\n");
      }
      if (through("16-bit gate", ring, far_call_words, code_of[target] & ~3, 0xe4, 3, low_landing)) {
        u32 esp = target ? seen.esp : (u32)top - 14;
        put(" used %d", (u32)top - esp);
        words(esp, (u32)top - 2);
      }
      put("\n");
    }
    through("there and back", ring, far_call_return, KCODE, 0xec, 2, landing_return);
    put(" ss=%w esp %s\n", seen.ss, seen.edi == r.esp ? "same" : "MOVED");
  }
}

static void gate_faults(void) {
  through("gate not present", 3, far_call, KCODE, 0x6c, 0, landing), put("\n");
  through("gate to null", 3, far_call, 0, 0xec, 0, landing), put("\n");
  through("gate to null 3", 3, far_call, 3, 0xec, 0, landing), put("\n");
  through("gate to data", 3, far_call, KDATA, 0xec, 0, landing), put("\n");
  through("gate to absent code", 3, far_call, SLOT(8), 0xec, 0, landing), put("\n");
  through("gate outside", 3, far_call, 0x1f8 + 8, 0xec, 0, landing), put("\n");
  through("gate to gate", 3, far_call, SLOT(20), 0xec, 0, landing), put("\n");
  through("gate to ldt", 3, far_call, 0x0c, 0xec, 0, landing), put("\n");

  /* Bad stacks in the TSS, seen by a call gate and by an interrupt to ring 1. */
  set_descriptor(gdt, SLOT(21), 0, 0xfffff, DATA_RW(1) & ~PRESENT, BIG | GRANULAR);
  set_descriptor(gdt, SLOT(22), 0, 0xfffff, DATA_RO(1), BIG | GRANULAR);
  static const struct {
    const char *name;
    u32 ss;
  } bad[] = {{"null", 0},           {"null rpl 1", 1},       {"rpl 0", DATA1 & ~3}, {"rpl 3", DATA1 | 3}, {"dpl 0", KDATA | 1},
             {"dpl 3", UDATA & ~2}, {"np", SLOT(21) | 1},    {"read-only", SLOT(22) | 1}, {"code", CODE1},
             {"outside", 0x201},    {"ldt", 0x0d},           {"tss", TSSSEL | 1}};
  set_gate(0x50, CODE1 & ~3, (u32)gate_handler, 0xee);
  u32 good = tss.ss1;
  for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) {
    tss.ss1 = bad[i].ss;
    put("ss1 %s:", bad[i].name);
    through(" call", 3, far_call, CODE1 & ~3, 0xec, 0, landing);
    check(", int", int_50, 3);
  }
  tss.ss1 = good;
  for (u32 limit = 11; limit < 24; limit += 4) {
    set_descriptor(gdt, TSSSEL, (u32)&tss, limit, 0x89, 0);
    asm volatile("ltr %w0" : : "r"(TSSSEL));
    put("tss limit %d:", limit);
    through(" call", 3, far_call, CODE1 & ~3, 0xec, 0, landing);
    check(", int", int_50, 3);
  }
  set_descriptor(gdt, TSSSEL, (u32)&tss, sizeof tss - 1, 0x89, 0);
  asm volatile("ltr %w0" : : "r"(TSSSEL));
}

static void push_on(u32 value) { *(u32 *)(r.esp -= 4) = value; }

/* Far return and IRET from `ring` to selector and stack. */
static void go_back(const char *name, const char *code, int ring, u32 cs, u32 ss, u32 eflags, u32 extra) {
  fresh(ring);
  u32 back = (u32)stack3 + STACK_BYTES - 64;
  int is_iret = code == do_iret;
  push_on(ss);
  push_on(back);
  for (u32 i = 0; i < extra; i += 4) push_on(0);
  if (is_iret) push_on(eflags);
  push_on(cs);
  push_on((u32)use_all);
  u32 esp = r.esp;
  run(code);
  put("r%d %s cs=%w ss=%w:", ring, name, cs, ss);
  if (seen.vector == DONE) {
    put(" cs=%w", seen.cs);
    if (seen.cs & 3) {
      put(" ss=%w esp ", seen.ss);
      if (seen.esp - back < 32) put("back+%d", seen.esp - back);
      else put("same+%d", seen.esp - esp);
    }
    put(" ds=%w es=%w fs=%w gs=%w eflags=%l\n", seen.eax, seen.ecx, seen.edx, seen.esi, seen.eflags & ~0x10000);
  } else {
    show("");
    put(" esp %s\n", !(seen.cs & 3) || seen.esp == esp ? "same" : "MOVED");
  }
}

static void returns(void) {
  set_descriptor(gdt, SLOT(14), 0, 0xfffff, DATA_RW(3) & ~PRESENT, BIG | GRANULAR);
  static const u32 targets[] = {KCODE, KCODE | 3, CODE1, CODE2, UCODE, UCODE & ~3, (SLOT(4)), (SLOT(4)) | 1, (SLOT(4)) | 3,
                                (SLOT(6)) | 2, (SLOT(6)) | 3, (SLOT(6)) | 1, (SLOT(7)) | 3, (SLOT(9)) | 3, (SLOT(10)) | 3, (SLOT(11)) | 3, 3, 0, 0x203};
  static const u32 ss_targets[] = {UDATA, UDATA & ~3, UDATA & ~2, KDATA | 3, DATA1 | 2, 0, 3, SLOT(14) | 3, SLOT(13) | 3, 0x203, UCODE};
  for (int ring = 0; ring < 4; ring++) {
    for (u32 way = 0; way < 3; way++) {
      const char *code = way == 0 ? do_lret : way == 1 ? do_lret_imm : do_iret;
      const char *name = way == 0 ? "lret" : way == 1 ? "lret 12" : "iret";
      u32 extra = way == 1 ? 12 : 0;
      for (u32 i = 0; i < sizeof targets / sizeof *targets; i++)
        go_back(name, code, ring, targets[i], data_of[targets[i] & 3], 0x2, extra);
      if (ring == 3) continue;
      for (u32 i = 0; i < sizeof ss_targets / sizeof *ss_targets; i++)
        go_back(name, code, ring, UCODE, ss_targets[i], 0x2, extra);
    }
  }
}

/* Segment registers that are nulled on the way out. */
static void nulling(void) {
  static const u32 kinds[] = {KDATA, DATA1, DATA2, UDATA, SLOT(4), SLOT(13), KCODE, UCODE, 0, 3};
  for (int ring = 0; ring < 3; ring++) {
    for (u32 i = 0; i < sizeof kinds / sizeof *kinds; i++) {
      for (u32 way = 0; way < 2; way++) {
        fresh(ring);
        u32 dpl = kinds[i] < 4 ? 3 : gdt[kinds[i] >> 3][1] >> 13 & 3;
        if (kinds[i] != SLOT(4) && kinds[i] != SLOT(13) && dpl < (u32)ring) continue;
        if (kinds[i] == SLOT(13)) continue;
        u32 selector = kinds[i] < 4 ? kinds[i] : (kinds[i] & ~3) | (kinds[i] == SLOT(4) ? 0 : ring);
        r.ds = r.es = r.fs = r.gs = selector;
        for (u32 outer = ring + 1; outer < 4; outer++) {
          r.esp = (u32)stacks[ring] + STACK_BYTES - 512;
          push_on(data_of[outer]);
          push_on((u32)stacks[outer] + STACK_BYTES - 512);
          if (way) push_on(2);
          push_on(code_of[outer]);
          push_on((u32)use_all);
          run(way ? do_iret : do_lret);
          put("r%d %s to r%d with %w:", ring, way ? "iret" : "lret", outer, selector);
          if (seen.vector == DONE) put(" ds=%w es=%w fs=%w gs=%w\n", seen.eax, seen.ecx, seen.edx, seen.esi);
          else show(""), put("\n");
        }
      }
    }
  }
}

/* Interrupts that go to rings 0, 1, 2, 3 and to conforming code. */
static void interrupts(void) {
  for (int ring = 0; ring < 4; ring++) {
    for (u32 dpl = 0; dpl < 4; dpl++) {
      for (u32 target = 0; target < 8; target++) {
        set_gate(0x50, SLOT(target), (u32)gate_handler, (target & 1 ? 0x8f : 0x8e) | dpl << 5);
        fresh(ring);
        r.eflags = 2 | IF;
        out8(0x21, 0xff);
        run(int_50);
        put("r%d int gate%d %s%d:", ring, dpl, target < 4 ? "xr" : "conf", target & 3);
        brief();
        if (seen.vector == DONE) {
          u32 level = seen.cs & 3;
          put(" if=%d", seen.eflags >> 9 & 1);
          u32 top = level == (u32)ring ? r.esp : level == 0 ? (u32)trap_stack + STACK_BYTES : (u32)stacks[level] + STACK_BYTES;
          put(" used %d", top - seen.eax);
          if (level) put(" ss=%w", seen.ss);
          if (level == 0 && ring == 0) words(seen.eax, top);
        }
        put("\n");
      }
    }
  }
}

/* 16-bit gates push words and load a 16-bit offset. The handler is in low memory and ends the probe from there. */
static void short_gates(void) {
  memcpy((void *)LOW, gate_handler, 16);
  for (int ring = 0; ring < 4; ring++) {
    for (u32 trap = 0; trap < 2; trap++) {
      for (u32 target = 0; target <= (u32)ring; target++) {
        set_gate(0x50, code_of[target], LOW, trap ? 0xe7 : 0xe6);
        fresh(ring);
        r.eflags = 2 | IF | 0x200cd5;
        run(int_50);
        put("r%d 16-bit %s gate to %d:", ring, trap ? "trap" : "interrupt", target);
        brief();
        u32 top = target == (u32)ring ? r.esp : target == 0 ? (u32)trap_stack + STACK_BYTES : (u32)stacks[target] + STACK_BYTES;
        put(" if=%d used %d:", seen.eflags >> 9 & 1, top - seen.eax);
        /* IP, CS, FLAGS; then SP and SS of the outer ring. */
        const u16 *frame = (const u16 *)seen.eax;
        u32 n = (top - seen.eax) / 2;
        put(" ip %s cs=%x flags=%x", frame[0] == (u16)(r.eip + 2) ? "ok" : "WRONG", frame[1], frame[2]);
        if (n == 5) put(" sp %s ss=%x", frame[3] == (u16)r.esp ? "ok" : "WRONG", frame[4]);
        put("\n");
      }
    }
  }
}

void kernel_main(void) {
  for (int ring = 0; ring < 4; ring++) {
    fresh(ring);
    run(empty);
    put("ring %d: cs=%w\n", ring, seen.cs);
  }
  direct();
  gates();
  inner_stacks();
  gate_faults();
  returns();
  nulling();
  interrupts();
  short_gates();
}
