/**
 * The host's physical memory: one array of 4 KiB machine frames, and who owns each of them.
 * Lives in a WebAssembly.Memory so that TypeScript and compiled guest code see the same bytes.
 * Invariants: the memory never grows after construction, so the views below never detach;
 * a frame is free or has one owner, a small integer chosen by the caller; promises never exceed what is free.
 * The first frames hold tables of the simulator itself (front TLBs) and are never handed out;
 * so machine frame 0 never backs a guest page.
 */
import { assert, UserError } from '../core/errors.ts';
import { type Bytes, type Mfn, PAGE_BYTES } from '../core/units.ts';

const WASM_PAGE_BYTES = 65536;

/** The part of WebAssembly.Memory used here (the standard library types have it only with the DOM). */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}
interface WasmGlobal {
  readonly Memory: new (descriptor: { initial: number; maximum: number }) => WasmMemory;
}
const FRAMES_MAX = 2 ** 20; // 4 GiB: a machine address must fit in 32 bits

/** The frame is not owned by anybody. */
export const OWNER_FREE = -1;
/** The simulator's own tables. */
export const OWNER_TABLES = -2;

/** Somebody wants to know before bytes of this frame change: it holds decoded code. */
export const FRAME_CODE = 1;
/** A VMM traces writes to this frame (it holds a guest page table or descriptor table). */
export const FRAME_TRACED = 2;
/** Read-only memory: writes through the bus are ignored. */
export const FRAME_ROM = 4;

export class MachineMemory {
  readonly frames: number;
  /** The first frame that can be owned. */
  readonly firstFrame: Mfn;
  readonly wasm: WasmMemory;
  readonly bytes: Uint8Array;
  readonly words16: Uint16Array;
  readonly words32: Int32Array;
  /** FRAME_* bits of each frame. A write to a frame with bits set must take the slow path. */
  readonly frameFlags: Uint8Array;
  /** Byte offset of the frame flags in this memory itself. */
  readonly frameFlagsAt: number;

  /** Told before bytes of a frame with FRAME_CODE change other than by a CPU's store: who keeps decoded code. */
  onCodeWrite: ((mfn: Mfn, offset: number, count: number) => void) | null = null;

  private readonly owners: Int32Array;
  private readonly freeFrames: Int32Array;
  private freeCount = 0;
  /** Frames promised to owners and not taken yet; part of the free ones. */
  private promised = 0;
  private readonly quotas = new Map<number, { readonly frames: number; used: number }>();

  /**
   * @param frames number of machine frames that guests and VMMs can own
   * @param tableFrames extra frames reserved for the simulator's own tables
   * @param mapFrames the same for maps from guest to machine frames
   */
  constructor(frames: number, tableFrames = 16, mapFrames = 0) {
    const others = tableFrames + mapFrames;
    const flagFrames = Math.ceil((frames + others) / (PAGE_BYTES - 1));
    const total = frames + others + flagFrames;
    if (total > FRAMES_MAX) {
      throw new UserError(
        `host memory of ${frames} frames is too large: at most ${FRAMES_MAX - others - flagFrames} frames (4 GiB)`,
      );
    }
    const wasmPages = Math.ceil((total * PAGE_BYTES) / WASM_PAGE_BYTES);
    this.frames = frames;
    this.firstFrame = total - frames;
    const { Memory } = (globalThis as unknown as { WebAssembly: WasmGlobal }).WebAssembly;
    this.wasm = new Memory({ initial: wasmPages, maximum: wasmPages });
    this.bytes = new Uint8Array(this.wasm.buffer);
    this.words16 = new Uint16Array(this.wasm.buffer);
    this.words32 = new Int32Array(this.wasm.buffer);
    this.frameFlagsAt = others * PAGE_BYTES;
    this.frameFlags = new Uint8Array(this.wasm.buffer, this.frameFlagsAt, total);
    this.owners = new Int32Array(total).fill(OWNER_FREE);
    this.owners.fill(OWNER_TABLES, 0, others + flagFrames);
    this.freeFrames = new Int32Array(frames);
    // Lowest frame last, so that frames are handed out in ascending order.
    for (let i = 0; i < frames; i++) this.freeFrames[i] = total - 1 - i;
    this.freeCount = frames;
    this.tableLimitBytes = tableFrames * PAGE_BYTES;
    this.mapUsedBytes = this.tableLimitBytes;
    this.mapLimitBytes = others * PAGE_BYTES;
  }

  private readonly tableLimitBytes: Bytes;
  private tableUsedBytes: Bytes = 0;
  private mapUsedBytes: Bytes;
  private readonly mapLimitBytes: Bytes;

  /** Reserves bytes for a table of the simulator (never freed). Returns its byte offset, 16-aligned. */
  reserveTable(bytes: Bytes): number {
    const at = this.tableUsedBytes;
    this.tableUsedBytes += (bytes + 15) & ~15;
    assert(this.tableUsedBytes <= this.tableLimitBytes, 'table frames exhausted: pass more to MachineMemory');
    return at;
  }

  /** Bytes for a map from guest to machine frames (never freed), or -1 when there is no room: then it lies elsewhere. */
  findMap(bytes: Bytes): number {
    const at = this.mapUsedBytes;
    if (at + bytes > this.mapLimitBytes) return -1;
    this.mapUsedBytes += (bytes + 15) & ~15;
    return at;
  }

  /** Frames that nobody owns and nobody was promised. */
  get freeFrameCount(): number {
    return this.freeCount - this.promised;
  }

  /** Promises `frames` frames to an owner, before it takes any. False when there are not enough. */
  reserve(owner: number, frames: number): boolean {
    assert(!this.quotas.has(owner), `owner ${owner} has a reservation already`);
    if (frames > this.freeFrameCount) return false;
    this.quotas.set(owner, { frames, used: 0 });
    this.promised += frames;
    return true;
  }

  /** Owner of a frame, or OWNER_FREE / OWNER_TABLES. */
  ownerOf(mfn: Mfn): number {
    return this.owners[mfn]!;
  }

  /** Takes one zeroed frame for `owner` (>= 0), or returns -1 when none is free. */
  allocateFrame(owner: number): Mfn {
    assert(owner >= 0, 'owner must be a non-negative integer');
    const quota = this.quotas.get(owner);
    if (quota !== undefined && quota.used < quota.frames) this.promised--;
    else if (this.freeFrameCount <= 0) return -1;
    if (quota !== undefined) quota.used++;
    const mfn = this.freeFrames[--this.freeCount]!;
    assert(this.owners[mfn] === OWNER_FREE, `frame ${mfn} handed out twice`);
    this.owners[mfn] = owner;
    return mfn;
  }

  /** Gives a frame back; its bytes are cleared so that no data leaks to the next owner. */
  freeFrame(mfn: Mfn, owner: number): void {
    assert(this.owners[mfn] === owner, `frame ${mfn} is not owned by ${owner}`);
    this.owners[mfn] = OWNER_FREE;
    if ((this.frameFlags[mfn]! & FRAME_CODE) !== 0) this.onCodeWrite?.(mfn, 0, PAGE_BYTES);
    this.frameFlags[mfn] = 0;
    this.bytes.fill(0, mfn * PAGE_BYTES, (mfn + 1) * PAGE_BYTES);
    this.freeFrames[this.freeCount++] = mfn;
    const quota = this.quotas.get(owner);
    if (quota !== undefined && --quota.used < quota.frames) this.promised++;
  }
}
