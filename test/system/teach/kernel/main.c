/* From the boot CPU's first line of C to a scheduler on every CPU. */
#include "kernel.h"

extern char kernel_end[];
extern u32 boot_directory[];

static void run(void) {
  print("cpu%d: starting\n", this_cpu() - cpus);
  traps_load();
  exchange(&this_cpu()->started, 1);
  scheduler();
}
static void ap_main(void) {
  use_kernel_space();
  segments_init();
  lapic_init();
  run();
}
/* One after the other, because they share the words below the code. */
static void start_others(void) {
  u32 *words = TO_VIRT(AP_CODE);
  copy(words, ap_code, ap_code_end - ap_code);
  for (struct cpu *c = cpus; c < cpus + cpu_count; c++) {
    if (c == this_cpu()) continue;
    words[-1] = (u32)page_new() + KSTACK;
    words[-2] = (u32)ap_main;
    words[-3] = TO_PHYS(boot_directory);
    ap_start(c->apic_id, AP_CODE);
    while (!c->started) {}
  }
}
/* "halt" on the command line: CPUs without work sleep. They spin otherwise, as teaching kernels do. */
static void read_command_line(void) {
  u32 *info = TO_VIRT(boot_info);
  if (!(info[0] & 4)) return;
  for (const char *s = TO_VIRT(info[4]); *s; s++) idle_halts |= same(s, "halt", 4);
}

void kernel_main(void) {
  read_command_line();
  pages_add(kernel_end, TO_VIRT(4 << 20)); /* what the boot page directory maps */
  kernel_space_init();
  mp_read();
  lapic_init();
  segments_init();
  pic_init();
  ioapic_init();
  console_init();
  serial_init();
  traps_init();
  buffers_init();
  disk_init();
  print("%d CPUs\n", cpu_count);
  start_others();
  pages_add(TO_VIRT(4 << 20), TO_VIRT(PHYS_TOP));
  pages_lock();
  first_process();
  run();
}
