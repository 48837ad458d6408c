/* What the boot kernels share: ports, text on port 0xE9, an interrupt table, the end by port 0xF4. */
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

static inline void out8(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u16 in16(u16 port) { u16 v; asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline void ins16(u16 port, void *to, u32 n) { asm volatile("rep insw" : "+D"(to), "+c"(n) : "d"(port) : "memory"); }
static inline void ins32(u16 port, void *to, u32 n) { asm volatile("rep insl" : "+D"(to), "+c"(n) : "d"(port) : "memory"); }
static inline void outs16(u16 port, const void *from, u32 n) { asm volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(port) : "memory"); }
static inline void outs32(u16 port, const void *from, u32 n) { asm volatile("rep outsl" : "+S"(from), "+c"(n) : "d"(port) : "memory"); }

static void put_char(char c) { out8(0xe9, c); }
static void text(const char *s) { while (*s) put_char(*s++); }
static inline void hex(u32 value, int digits) {
  for (int i = digits - 1; i >= 0; i--) put_char("0123456789abcdef"[value >> (4 * i) & 15]);
}
static inline void number(const char *name, u32 value, int digits) {
  text(name);
  put_char(' ');
  hex(value, digits);
}
static inline void finish(u8 code) {
  out8(0xf4, code);
  for (;;) asm volatile("cli; hlt");
}

/* Interrupts: the controllers at vectors 0x20-0x2F, all masked but for `irqs`. */
static u32 idt[0x30][2];
static inline void gate(u32 vector, void (*handler)(void)) {
  u16 cs;
  asm("mov %%cs, %0" : "=r"(cs));
  idt[vector][0] = cs << 16 | ((u32)handler & 0xffff);
  idt[vector][1] = ((u32)handler & 0xffff0000) | 0x8e00;
}
static inline void interrupts(u16 irqs) {
  struct { u16 limit; u32 base; } __attribute__((packed)) d = {sizeof idt - 1, (u32)idt};
  asm volatile("lidt %0" : : "m"(d));
  static const u8 master[] = {0x20, 0x04, 0x01}, slave[] = {0x28, 0x02, 0x01};
  out8(0x20, 0x11), out8(0xa0, 0x11);
  for (int i = 0; i < 3; i++) out8(0x21, master[i]), out8(0xa1, slave[i]);
  out8(0x21, ~irqs & 0xfb), out8(0xa1, ~irqs >> 8);
}
/* An interrupt handler that calls a C function. */
#define HANDLER(name, function) \
  extern void name(void);       \
  asm(".pushsection .text\n" #name ": pusha\ncall " #function "\npopa\niret\n.popsection")
