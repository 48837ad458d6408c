/**
 * A process that runs v86, one or more machines in it, for the benchmark; a file of plain JavaScript, so that its
 * start-up holds no compiler. The console (port 0xE9, or COM1 for Linux) goes to stdout; ends when all machines wrote
 * port 0xF4, unless it is told to hold.
 *
 *   node v86-child.mjs '{"multiboot": FILE, "cmdline": TEXT, "memoryMib": 128, "vms": 1}'
 *
 * Options: multiboot, or bzimage with initrd; cmdline; memoryMib; vms; hold; bios, vgaBios; jit (true).
 * Source: v86's own v86.d.ts; the port hooks are those that its devices use.
 */
import { readFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';

const options = JSON.parse(process.argv[2]);
const vms = options.vms ?? 1;
const file = (path) => {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) };
};

let running = vms;
let code = 0;

function onExit(value) {
  if (value !== 0) code = value;
  // Held, it lives on to be looked at, and is killed in the end.
  if (--running === 0 && options.hold !== true) process.exit(code === 0 ? 0 : 1);
}

/** Passes a console on line by line. */
function makeConsole() {
  let line = '';
  return (byte) => {
    line += String.fromCharCode(byte);
    if (byte !== 10) return;
    writeSync(1, line);
    line = '';
  };
}

function start() {
  const put = makeConsole();
  const config = {
    wasm_path: fileURLToPath(new URL('v86.wasm', import.meta.resolve('v86'))),
    memory_size: (options.memoryMib ?? 128) * 2 ** 20,
    vga_memory_size: 2 * 2 ** 20,
    autostart: false,
    disable_jit: options.jit === false,
    disable_speaker: true,
    disable_keyboard: true,
    disable_mouse: true,
    acpi: false,
    net_device: { type: 'none' },
    cmdline: options.cmdline ?? '',
  };
  for (const [key, name] of Object.entries({
    multiboot: 'multiboot',
    bzimage: 'bzimage',
    initrd: 'initrd',
    bios: 'bios',
    vgaBios: 'vga_bios',
  })) {
    if (options[key] !== undefined) config[name] = file(options[key]);
  }
  const emulator = new V86(config);
  emulator.add_listener('emulator-loaded', () => {
    const { io } = emulator.v86.cpu;
    io.register_write(0xe9, {}, put);
    let value = 0;
    const part = (shift) => (byte) => {
      value |= byte << shift;
      if (shift === 24) onExit(value);
    };
    io.register_write_consecutive(0xf4, {}, part(0), part(8), part(16), part(24));
    void emulator.run();
  });
  if (options.bzimage !== undefined) emulator.add_listener('serial0-output-byte', put);
}

for (let vm = 0; vm < vms; vm++) start();
