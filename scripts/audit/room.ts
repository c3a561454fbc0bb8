import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

/** A place for data in which there is little room until more is made. */
export interface Room {
  readonly how: string;
  readonly data: string;
  /** Put in front of the server's command. */
  readonly under: readonly string[];
  makeRoom(serverPid: number): void;
  close(): void;
}

const megabytes = 4;

/** A small file system of its own where one may be mounted, else a limit on the size of the server's files. */
export async function littleRoom(folder: string): Promise<Room> {
  const mounted = join(folder, "small-disk");
  await mkdir(mounted);
  const options = `size=${megabytes}m`;
  if (!run("mount", "-t", "tmpfs", "-o", options, "tasso-audit", mounted)) return limited(folder);
  return {
    how: `a file system of ${megabytes} MB`,
    data: join(mounted, "data"),
    under: [],
    makeRoom: () => {
      expect(run("mount", "-o", "remount,size=256m", mounted), "the disk cannot be made larger");
    },
    // Lazily, for after a failure a server may still be in it.
    close: () => {
      expect(run("umount", "--lazy", mounted), "the disk cannot be taken away");
    },
  };
}

function limited(folder: string): Room {
  // With the signal ignored, a file that would become too large is an error of the write.
  const script = `trap '' XFSZ; ulimit -S -f ${megabytes * 1_024}; exec "$@"`;
  return {
    how: `files of at most ${megabytes} MB, for nothing may be mounted here`,
    data: join(folder, "data"),
    under: ["bash", "-c", script, "bash"],
    makeRoom: (serverPid) => {
      const lifted = run("prlimit", "--pid", String(serverPid), "--fsize=unlimited");
      expect(lifted, "the limit cannot be lifted");
    },
    close: () => {},
  };
}

function run(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

function expect(done: boolean, otherwise: string): void {
  if (!done) throw new Error(otherwise);
}
