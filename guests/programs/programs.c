/*
 * One source, three builds: IA-32 code, RV32IM code, and bytecode. Each prints the same text and ends with the same code.
 * Invariant: this is the part of C that bytecode/compiler.ts knows (int, unsigned, unsigned char, global arrays, pointers
 * that are only indexed, no preprocessor), and nothing here depends on the machine: a difference is a bug below it.
 * What the machine provides: put (a character to the console), progress (units of work done), arg (a character of the
 * command line, 0 behind its end).
 */
int put(int character);
int progress(int units);
int arg(int index);

int text(unsigned char *s)
{
    int i = 0;
    while (s[i]) {
        put(s[i]);
        i++;
    }
    return 0;
}

int decimal(unsigned value)
{
    if (value >= 10)
        decimal(value / 10);
    put('0' + value % 10);
    return 0;
}

int hex(unsigned value)
{
    text("0x");
    for (int shift = 28; shift >= 0; shift -= 4) {
        int digit = (value >> shift) & 15;
        put(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    return 0;
}

/* A hash that sees the order of what it is given. */
unsigned stir(unsigned hash, unsigned value)
{
    return (hash ^ value) * 16777619 ^ hash >> 15;
}

/* ------------------------------------------------------------------ command line */

int is_word(int at, unsigned char *word)
{
    int i = 0;
    while (word[i]) {
        if (arg(at + i) != word[i])
            return 0;
        i++;
    }
    int end = arg(at + i);
    return end == 0 || end == ' ' || end == '=';
}

/* Index of the next word, or of the end. */
int next_word(int at)
{
    while (arg(at) != 0 && arg(at) != ' ')
        at++;
    while (arg(at) == ' ')
        at++;
    return at;
}

int bad_option;

/* The value of `name=value` behind the first word. */
int option(unsigned char *name, int otherwise, int most)
{
    int at = next_word(0);
    while (arg(at)) {
        if (is_word(at, name)) {
            while (arg(at) != 0 && arg(at) != '=')
                at++;
            if (arg(at))
                at++;
            int value = 0;
            int digits = 0;
            while (arg(at) >= '0' && arg(at) <= '9' && value <= 100000000) {
                value = value * 10 + arg(at) - '0';
                digits++;
                at++;
            }
            if (digits == 0 || (arg(at) != 0 && arg(at) != ' ') || value < 1 || value > most) {
                text("programs: ");
                text(name);
                text("= must be 1 to ");
                decimal(most);
                put(10);
                bad_option = 1;
                return 1;
            }
            return value;
        }
        at = next_word(at);
    }
    return otherwise;
}

int result(unsigned char *name, unsigned value)
{
    text("programs: ");
    text(name);
    text(" result=");
    hex(value);
    put(10);
    return 0;
}

/* ------------------------------------------------------------------ sieve: byte loops over memory */

unsigned char composite[100001];

int sieve()
{
    int n = option("n", 20000, 100000);
    int rounds = option("rounds", 5, 1000000);
    if (bad_option)
        return 2;
    unsigned hash = 1;
    for (int round = 1; round <= rounds; round++) {
        for (int i = 0; i <= n; i++)
            composite[i] = 0;
        int count = 0;
        for (int i = 2; i <= n; i++) {
            if (composite[i] == 0) {
                count++;
                for (int j = i + i; j <= n; j += i)
                    composite[j] = 1;
            }
        }
        hash = stir(hash, count);
        progress(round);
    }
    result("sieve", hash);
    return 0;
}

/* ------------------------------------------------------------------ matmul: multiplications and 32-bit loads */

int left[4096];
int right[4096];
int product[4096];

int matmul()
{
    int n = option("n", 24, 64);
    int rounds = option("rounds", 4, 1000000);
    if (bad_option)
        return 2;
    unsigned hash = 1;
    for (int i = 0; i < n * n; i++) {
        left[i] = i * 7 % 31 - 15;
        right[i] = i * 5 % 29 - 14;
    }
    for (int round = 1; round <= rounds; round++) {
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                int sum = 0;
                for (int k = 0; k < n; k++)
                    sum += left[i * n + k] * right[k * n + j];
                product[i * n + j] = sum;
            }
        }
        for (int i = 0; i < n * n; i++) {
            hash = stir(hash, product[i]);
            left[i] = product[i] % 31;
        }
        progress(round);
    }
    result("matmul", hash);
    return 0;
}

/* ------------------------------------------------------------------ calls: recursion */

int fibonacci(int n)
{
    if (n < 2)
        return n;
    return fibonacci(n - 1) + fibonacci(n - 2);
}

int calls()
{
    int depth = option("depth", 16, 30);
    int rounds = option("rounds", 10, 1000000);
    if (bad_option)
        return 2;
    unsigned hash = 1;
    for (int round = 1; round <= rounds; round++) {
        hash = stir(hash, fibonacci(depth));
        progress(round);
    }
    result("calls", hash);
    return 0;
}

/* ------------------------------------------------------------------ sort: branches that nobody can foresee */

int numbers[16384];

int quicksort(int *a, int low, int high)
{
    while (low < high) {
        int pivot = a[(low + high) / 2];
        int i = low;
        int j = high;
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                int swap = a[i];
                a[i] = a[j];
                a[j] = swap;
                i++;
                j--;
            }
        }
        if (j - low < high - i) {
            quicksort(a, low, j);
            low = i;
        } else {
            quicksort(a, i, high);
            high = j;
        }
    }
    return 0;
}

int sort()
{
    int n = option("n", 2000, 16384);
    int rounds = option("rounds", 5, 1000000);
    unsigned seed = option("seed", 1, 100000000);
    if (bad_option)
        return 2;
    unsigned hash = 1;
    for (int round = 1; round <= rounds; round++) {
        for (int i = 0; i < n; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            numbers[i] = seed;
        }
        quicksort(numbers, 0, n - 1);
        for (int i = 0; i < n; i++) {
            hash = stir(hash, numbers[i]);
            if (i > 0 && numbers[i - 1] > numbers[i])
                hash = 0;
        }
        progress(round);
    }
    result("sort", hash);
    return 0;
}

/* ------------------------------------------------------------------ words: strings */

unsigned char line[4096];
unsigned char copy[4096];

int length(unsigned char *s)
{
    int n = 0;
    while (s[n])
        n++;
    return n;
}

int compare(unsigned char *a, unsigned char *b)
{
    int i = 0;
    while (a[i] && a[i] == b[i])
        i++;
    return a[i] - b[i];
}

int append(unsigned char *to, unsigned char *from)
{
    int at = length(to);
    int i = 0;
    do {
        to[at + i] = from[i];
    } while (from[i++]);
    return at + i - 1;
}

/* How often `what` occurs in `in`. */
int occurrences(unsigned char *in, unsigned char *what)
{
    int count = 0;
    for (int i = 0; in[i]; i++) {
        int k = 0;
        while (what[k] && in[i + k] == what[k])
            k++;
        if (what[k] == 0)
            count++;
    }
    return count;
}

int words()
{
    int n = option("n", 40, 150);
    int rounds = option("rounds", 10, 1000000);
    if (bad_option)
        return 2;
    unsigned hash = 1;
    for (int round = 1; round <= rounds; round++) {
        line[0] = 0;
        for (int i = 0; i < n; i++) {
            append(line, i % 3 == 0 ? "virtual " : i % 3 == 1 ? "machine " : "monitor ");
            if ((i + round) % 5 == 0)
                append(line, "of ");
        }
        int end = length(line);
        for (int i = 0; i < end; i++)
            copy[i] = line[end - 1 - i];
        copy[end] = 0;
        hash = stir(hash, end);
        hash = stir(hash, occurrences(line, "chi"));
        hash = stir(hash, occurrences(copy, "rot"));
        hash = stir(hash, compare(line, copy));
        hash = stir(hash, compare(line, line));
        for (int i = 0; i < end; i++) {
            unsigned char c = line[i];
            hash = stir(hash, c >= 'a' && c <= 'z' ? c - 32 : c);
        }
        progress(round);
    }
    result("words", hash);
    return 0;
}

/* ------------------------------------------------------------------ */

int run()
{
    if (is_word(0, "hello")) {
        text("programs: hello, world\n");
        return 0;
    }
    if (is_word(0, "sieve"))
        return sieve();
    if (is_word(0, "matmul"))
        return matmul();
    if (is_word(0, "calls"))
        return calls();
    if (is_word(0, "sort"))
        return sort();
    if (is_word(0, "words"))
        return words();
    text("programs: no such workload, allowed: hello sieve matmul calls sort words\n");
    return 2;
}
