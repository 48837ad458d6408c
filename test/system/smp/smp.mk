# The SMP kernel. Its volatile device registers are in C, so it is compiled as the probes are; words of the BIOS data area are no array.
SMP     := bin/smp.elf

bin/smp.elf: smp/smp.c smp/boot.S lib/probe.ld smp/smp.mk Makefile
	@mkdir -p $(BUILD) $(@D)
	$(CC) $(MACHINE) -c -o $(BUILD)/smp-boot.o smp/boot.S
	$(CC) $(CFLAGS) -Wno-array-bounds -c -o $(BUILD)/smp.o smp/smp.c
	$(CC) $(LDFLAGS) -Wl,-T,lib/probe.ld -o $@ $(BUILD)/smp-boot.o $(BUILD)/smp.o
