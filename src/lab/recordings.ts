/**
 * Reads the files of recordings, each once for as long as somebody keeps the reader.
 * Invariant: what was read is whole and undamaged; messages name the file as the user wrote it.
 */
import { UserError } from '../core/errors.ts';
import { readBytes } from '../guest/image.ts';
import { decodeHeader, decodeRecording, type RecordingHeader } from '../host/replay/recording.ts';
import { Score } from '../host/replay/replayed.ts';

/**
 * Reads the header of a recording, given as the scenario has it.
 * @param asRing it is to be played round and round
 * @throws UserError when it cannot be played, or not so
 */
export type RecordingLoader = (written: string, asRing?: boolean) => RecordingHeader;

/** Reads recordings and keeps them: headers alone for whoever plans, and whole ones, made ready, for whoever plays. */
export class Recordings {
  private readonly headers = new Map<string, RecordingHeader>();
  private readonly scores = new Map<string, Score>();

  /** @param shown what messages call the file; the rest as of `RecordingLoader` */
  header(file: string, shown: string, asRing = false): RecordingHeader {
    if (asRing && this.score(file, shown).ring === null) {
      throw new UserError(
        `${shown} cannot be begun at an offset: its guest ends, or waits less than twice; expected one that goes on until --max-seconds cut it off`,
      );
    }
    let header = this.headers.get(file);
    if (header === undefined) {
      header = decodeHeader(shown, read(file, shown));
      this.headers.set(file, header);
    }
    return header;
  }

  score(file: string, shown: string): Score {
    let score = this.scores.get(file);
    if (score === undefined) {
      score = new Score(decodeRecording(shown, read(file, shown)));
      this.scores.set(file, score);
    }
    return score;
  }
}

function read(file: string, shown: string): Uint8Array {
  try {
    return readBytes(file);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // Messages are about the file as the user wrote it.
    throw new UserError(error.message.replaceAll(file, shown));
  }
}
