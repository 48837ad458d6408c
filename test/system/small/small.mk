# The small kernels. Optimization differs on purpose: -O2, -O0, -Os are what people use.
SMALL_NAMES := vga-hello ticks keyboard paging mbinfo machine cxx higher-half
SMALL   := $(SMALL_NAMES:%=bin/small-%.elf) bin/small-flat.bin
SMALL_FLAGS := -m32 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident \
               -fno-strict-aliasing -fcf-protection=none -Wall -Wextra -Werror -Wno-unused-function -mno-sse -mno-mmx -mno-80387 -Ismall

bin/small-%.elf: small/%.c small/boot.S small/term.h small/tables.h small/small.ld small/small.mk
	@mkdir -p $(BUILD) $(@D)
	$(CC) $(MACHINE) -c -o $(BUILD)/small-boot-$*.o small/boot.S
	$(CC) $(SMALL_FLAGS) -std=gnu11 $(if $(filter paging mbinfo,$*),-O0,-O2) -fno-builtin -c -o $(BUILD)/small-$*.o $<
	$(CC) $(LDFLAGS) -Wl,-T,small/small.ld -o $@ $(BUILD)/small-boot-$*.o $(BUILD)/small-$*.o
bin/small-cxx.elf: small/cxx.cc small/boot.S small/term.h small/small.ld small/small.mk
	@mkdir -p $(BUILD) $(@D)
	$(CC) $(MACHINE) -c -o $(BUILD)/small-boot-cxx.o small/boot.S
	$(CC) $(SMALL_FLAGS) -std=gnu++17 -O0 -fno-exceptions -fno-rtti -fno-threadsafe-statics -c -o $(BUILD)/small-cxx.o $<
	$(CC) $(LDFLAGS) -Wl,-T,small/small.ld -o $@ $(BUILD)/small-boot-cxx.o $(BUILD)/small-cxx.o
bin/small-higher-half.elf: small/higher-half.c small/higher-half-boot.S small/term.h small/tables.h small/higher-half.ld small/small.mk
	@mkdir -p $(BUILD) $(@D)
	$(CC) $(MACHINE) -c -o $(BUILD)/small-hh-boot.o small/higher-half-boot.S
	$(CC) $(SMALL_FLAGS) -std=gnu11 -O2 -fno-builtin -c -o $(BUILD)/small-hh.o $<
	$(CC) $(LDFLAGS) -Wl,-T,small/higher-half.ld -o $@ $(BUILD)/small-hh-boot.o $(BUILD)/small-hh.o
bin/small-flat.bin: small/flat.S small/flat.ld small/small.mk
	@mkdir -p $(BUILD) $(@D)
	$(CC) $(MACHINE) -c -o $(BUILD)/small-flat.o $<
	$(CC) $(LDFLAGS) -Wl,-T,small/flat.ld -o $(BUILD)/small-flat.elf $(BUILD)/small-flat.o
	$(OBJCOPY) -O binary $(BUILD)/small-flat.elf $@
