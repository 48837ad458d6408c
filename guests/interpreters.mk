# The programs in their three builds, and what runs the two foreign ones: included by the Makefile.
# Needs riscv64-unknown-elf-gcc (Debian: gcc-riscv64-unknown-elf) for the RV32 builds, and the project's Node packages for
# the bytecode; only files that are older than their sources are built.

RISCV_CC     := riscv64-unknown-elf-gcc
RISCV_CFLAGS := -march=rv32im -mabi=ilp32 -std=gnu11 -O2 -Wall -Wextra -Werror -Wno-pointer-sign -ffreestanding \
                -fno-builtin -fno-ident -fno-strict-aliasing -nostdlib -static -s -Wl,--build-id=none \
                -Wl,--no-warn-rwx-segments -Wl,-T,programs/riscv.ld
FOREIGN := bin/programs.rv32.elf bin/classes.rv32.elf bin/programs.bc
RUNTIME := $(patsubst %,$(BUILD)/bare/interpreters/%.o,start runtime)

all sums: $(FOREIGN)

$(BUILD)/bare/%.o: %.c $(wildcard interpreters/*.h) Makefile interpreters.mk
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Wno-pointer-sign -c -o $@ $<
$(BUILD)/bare/%.o: %.S Makefile interpreters.mk
	@mkdir -p $(@D)
	$(CC) $(MACHINE) -c -o $@ $<

LINK_BARE = $(CC) $(LDFLAGS) -Wl,-T,interpreters/bare.ld -o $@ $(filter %.o,$^)
bin/programs.elf: $(RUNTIME) $(BUILD)/bare/programs/programs.o $(BUILD)/bare/programs/ia32.o interpreters/bare.ld
	$(LINK_BARE)
bin/rvemu.elf: $(RUNTIME) $(BUILD)/bare/interpreters/rvemu.o interpreters/bare.ld
	$(LINK_BARE)
bin/bcvm.elf: $(RUNTIME) $(BUILD)/bare/interpreters/bcvm.o $(BUILD)/bare/interpreters/bctranslate.o interpreters/bare.ld
	$(LINK_BARE)

bin/programs.rv32.elf: programs/riscv.S programs/riscv.c programs/programs.c programs/riscv.ld
	$(RISCV_CC) $(RISCV_CFLAGS) -o $@ $(filter %.S %.c,$^)
bin/classes.rv32.elf: programs/classes.S programs/riscv.ld
	$(RISCV_CC) $(RISCV_CFLAGS) -o $@ $(filter %.S,$^)
bin/programs.bc: programs/programs.c bytecode/compiler.ts bytecode/format.ts
	cd .. && node --import tsx guests/bytecode/compiler.ts guests/programs/programs.c guests/$@
