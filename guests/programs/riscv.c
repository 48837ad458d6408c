/*
 * The programs as an RV32IM executable with Linux's system calls, so that user-mode emulators run it as well.
 * progress has a number that Linux does not use: it answers -ENOSYS, and nothing happens.
 */
int run(void);

enum { SYS_WRITE = 64, SYS_PROGRESS = 1000 };

static char line[1024];

static int ecall(int number, int a, int b, int c)
{
    register int a0 __asm__("a0") = a;
    register int a1 __asm__("a1") = b;
    register int a2 __asm__("a2") = c;
    register int a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

int put(int character)
{
    char byte = (char)character;
    ecall(SYS_WRITE, 1, (int)&byte, 1);
    return 0;
}

int progress(int units)
{
    ecall(SYS_PROGRESS, units, 0, 0);
    return 0;
}

int arg(int index)
{
    return (unsigned char)line[index];
}

int riscv_main(int argc, char **argv)
{
    unsigned at = 0;
    for (int i = 1; i < argc; i++) {
        for (const char *c = argv[i]; *c && at < sizeof line - 2; c++)
            line[at++] = *c;
        if (i + 1 < argc && at < sizeof line - 2)
            line[at++] = ' ';
    }
    return run();
}
