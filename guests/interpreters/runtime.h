/*
 * What a bare program has here: text to the console, progress, the end of the run, the command line, one boot module,
 * and a meter that a monitor can read.
 * Ports: 0xE9 console, 0xE4 progress, 0xF4 exit code, 0x8900 the word Shutdown for Bochs; 0xEA and 0xEC the meter.
 */
#ifndef RUNTIME_H
#define RUNTIME_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

/* Behind the name of the kernel's file. */
extern const char *command_line;

/* The first boot module; module_bytes is 0 if there is none. */
extern const u8 *module;
extern u32 module_bytes;
/* Text of the module behind its name. */
extern const char *module_text;

/* What the program that is being interpreted has done so far. A monitor gets its address. */
struct meter {
    u64 instructions; /* retired */
    u32 registers[32];
    u32 pc;
    u32 memory; /* where address memory_base of the program lies */
    u32 memory_base;
    u32 memory_bytes;
};

/* The program's own entry: never returns. */
void begin(void) __attribute__((noreturn));

void console_byte(u8 byte);
void console_text(const char *text);
void console_hex(u32 value);
void console_decimal(u32 value);
void report_progress(u32 units);
void power_off(u32 code) __attribute__((noreturn));

void meter_at(const struct meter *meter);
/* A section of the run is over; says its name. */
void meter_section(const char *name);

u32 text_length(const char *text);
int text_has_word(const char *text, const char *word);
void *memcpy(void *to, const void *from, u32 count);
void *memset(void *to, int value, u32 count);

#endif
