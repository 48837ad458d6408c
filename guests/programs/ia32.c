/*
 * The programs on the bare IA-32 machine: what programs.c expects, made of ports.
 * Source: Multiboot specification 0.6.96, section 3.3 (command line).
 */
#include "../interpreters/runtime.h"

int run(void);

int put(int character)
{
    console_byte((u8)character);
    return 0;
}

int progress(int units)
{
    report_progress((u32)units);
    return 0;
}

int arg(int index)
{
    return (u8)command_line[index];
}

void begin(void)
{
    power_off((u32)run());
}
