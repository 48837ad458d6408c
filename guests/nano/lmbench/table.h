/*
 * The microbenchmarks by name; user/main.c has this in the middle of its table.
 * Invariant: `n` is how often the measured thing happens: the cost of one is the difference of two runs.
 * Source: names and what is timed follow lmbench (McVoy and Staelin, USENIX 1996); the programs are our own.
 */
    {"null", run_null, {{"n", 1000, 1, 4000000000u}}},
    {"nullio", run_nullio, {{"n", 1000, 1, 4000000000u}}},
    {"siginst", run_siginst, {{"n", 1000, 1, 4000000000u}}},
    {"sighndl", run_sighndl, {{"n", 1000, 1, 4000000000u}}},
    {"prot", run_prot, {{"n", 1000, 1, 4000000000u}}},
    {"fork", run_fork, {{"n", 10, 1, 1000000}, {"pages", 128, 0, 1024}}},
    {"exec", run_exec, {{"n", 10, 1, 1000000}, {"pages", 128, 0, 1024}}},
    {"sh", run_sh, {{"n", 10, 1, 1000000}, {"pages", 128, 0, 1024}}},
    {"ctx", run_ctx, {{"n", 100, 1, 1000000}, {"tasks", 2, 1, 20}, {"kib", 0, 0, 64}}},
    {"mmap", run_mmap, {{"n", 10, 1, 1000000}, {"pages", 256, 1, FILE_PAGES}, {"touch", 25, 0, FILE_PAGES}}},
    {"fault", run_fault, {{"n", 1000, 1, 4000000000u}}},
