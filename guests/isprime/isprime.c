/*
 * The example by which binary translators are explained: is a number prime, by trial division.
 * Invariant: isPrime is a function of its own, with its argument in a register, as in the figure.
 * Source of the idea: Adams and Agesen, ASPLOS 2006, section 3.1; the code is ours.
 */
static void put(const char *text) {
    for (; *text; text++) __asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((unsigned short)0xE9));
}

__attribute__((noinline, regparm(1))) int isPrime(int a) {
    int i = 2;
    __asm__("" : "+c"(i)); /* the compiler shall not know it, or it writes the first round apart */
    if (i < a) {
        do {
            if (a % i == 0) return 0;
            i++;
        } while (i < a);
    }
    return 1;
}

void kernel_main(void) {
    put("isPrime(49)=");
    put(isPrime(49) ? "1\n" : "0\n");
}
