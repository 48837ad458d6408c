/**
 * Reads the files of recordings, each once for as long as somebody keeps the reader.
 * Invariant: what was read is whole and undamaged; messages name the file as the user wrote it.
 */
import { UserError } from '../core/errors.ts';
import { readBytes } from '../guest/image.ts';
import { decodeHeader, decodeRecording, type RecordingHeader } from '../host/replay/recording.ts';
import { Score } from '../host/replay/replayed.ts';

/** Reads the header of a recording, given as the scenario has it. @throws UserError when it cannot be played */
export type RecordingLoader = (written: string) => RecordingHeader;

/** Reads recordings and keeps them: headers alone for whoever plans, and whole ones, made ready, for whoever plays. */
export class Recordings {
  private readonly headers = new Map<string, RecordingHeader>();
  private readonly scores = new Map<string, Score>();

  /** @param shown what messages call the file */
  header(file: string, shown: string): RecordingHeader {
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
