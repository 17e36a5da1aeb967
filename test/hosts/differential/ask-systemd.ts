import type { LabHost } from '../../lab/lab.ts';

/**
 * Properties of units, straight from systemd. `systemctl show` always asks for all properties, and one of them
 * (UnitFileState) has systemd read every directory of the unit path again, for every unit: with the thousands of files
 * here it takes minutes. So this speaks D-Bus to systemd's private socket itself, and asks all in one go.
 */
export interface UnitProperties {
  readonly id: string;
  readonly load: string;
  readonly fragment: string;
  readonly dropIns: readonly string[];
  /** null: units of this type have no such property. */
  readonly tasksMax: string | null;
}

const MANAGER = 'org.freedesktop.systemd1';
const UNIT_PROPERTIES = ['Id', 'LoadState', 'FragmentPath', 'DropInPaths'] as const;

/** Writes the calls on its standard input to the socket and prints as many replies. */
const CLIENT = `perl -MIO::Socket::UNIX -e '
my $n = shift;
my $s = IO::Socket::UNIX->new(Peer => "/run/systemd/private") or die "private socket: $!";
binmode STDIN; binmode STDOUT;
my $writer = fork;
if (!$writer) {
  local $/;
  print $s "\\0AUTH EXTERNAL 30\\r\\nBEGIN\\r\\n", <STDIN>;
  $s->flush;
  sleep 600;
}
my $line = <$s>;
$line =~ /^OK / or die "refused: $line";
sub get { my $data = ""; while (length $data < $_[0]) { read($s, $data, $_[0] - length $data, length $data) or die "closed" } $data }
while ($n > 0) {
  my $head = get(16);
  my ($type, $body, $fields) = (unpack("x C x2 V x4 V", $head));
  $n-- if $type == 2 || $type == 3;
  print $head, get($fields + (-$fields % 8) + $body);
}
kill 9, $writer;
'`;

/** What systemd says of units, in the order of the names. It loads the ones it does not know. */
export async function askSystemd(host: LabHost, names: readonly string[]): Promise<UnitProperties[]> {
  const calls: Buffer[] = [];
  for (const name of names) {
    const type = name.slice(name.lastIndexOf('.') + 1);
    const typeInterface = `${MANAGER}.${type.charAt(0).toUpperCase()}${type.slice(1)}`;
    for (const property of UNIT_PROPERTIES)
      calls.push(getProperty(calls.length + 1, name, `${MANAGER}.Unit`, property));
    calls.push(getProperty(calls.length + 1, name, typeInterface, 'TasksMax'));
  }
  const { stdout } = await host.exec(`${CLIENT} ${calls.length}`, {
    input: Buffer.concat(calls),
    timeoutMs: 600_000,
  });
  const replies = parseReplies(stdout);
  return names.map((name, i) => {
    const value = (n: number): string[] => {
      const reply = replies.get(i * 5 + n + 1);
      if (reply === undefined) throw new Error(`${host.name}: no answer about ${name}`);
      return reply;
    };
    const [id = '', load = '', fragment = ''] = [0, 1, 2].map((n) => value(n)[0] ?? '');
    return { id, load, fragment, dropIns: value(3), tasksMax: value(4)[0] ?? null };
  });
}

/** The call `org.freedesktop.DBus.Properties.Get` of a unit's object. */
function getProperty(serial: number, unit: string, unitInterface: string, property: string): Buffer {
  const body = new Writer();
  body.string(unitInterface);
  body.string(property);
  const message = new Writer();
  // Little endian, a method call, no flags, version 1.
  for (const byte of [0x6c, 1, 0, 1]) message.byte(byte);
  message.uint32(body.length);
  message.uint32(serial);
  const fields = new Writer();
  for (const [code, type, text] of [
    [1, 'o', `/org/freedesktop/systemd1/unit/${busLabel(unit)}`],
    [2, 's', 'org.freedesktop.DBus.Properties'],
    [3, 's', 'Get'],
  ] as const) {
    fields.align(8);
    fields.byte(code);
    fields.signature(type);
    fields.string(text);
  }
  fields.align(8);
  fields.byte(8);
  fields.signature('g');
  fields.signature('ss');
  message.uint32(fields.length);
  // The fields start at an offset of 16, so their own alignment holds.
  return Buffer.concat([message.bytes(), fields.bytes(), Buffer.alloc(-fields.length & 7), body.bytes()]);
}

/** `bus_label_escape()` of systemd. */
function busLabel(text: string): string {
  return text.replace(
    /^[0-9]|[^0-9A-Za-z]/g,
    (char) => `_${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

class Writer {
  #data: number[] = [];

  get length(): number {
    return this.#data.length;
  }

  bytes(): Buffer {
    return Buffer.from(this.#data);
  }

  align(to: number): void {
    while (this.#data.length % to !== 0) this.#data.push(0);
  }

  byte(value: number): void {
    this.#data.push(value);
  }

  uint32(value: number): void {
    this.align(4);
    for (let shift = 0; shift < 32; shift += 8) this.#data.push((value >>> shift) & 0xff);
  }

  string(text: string): void {
    const bytes = Buffer.from(text);
    this.uint32(bytes.length);
    this.#data.push(...bytes, 0);
  }

  signature(text: string): void {
    this.#data.push(text.length, ...Buffer.from(text), 0);
  }
}

/** Values by the serial of their call: one string, all strings of an array, a number; none for an error. */
function parseReplies(data: Buffer): Map<number, string[]> {
  const replies = new Map<number, string[]>();
  let offset = 0;
  while (offset < data.length) {
    const type = data[offset + 1];
    const fieldsEnd = 16 + data.readUInt32LE(offset + 12);
    const bodyStart = (fieldsEnd + 7) & ~7;
    const end = bodyStart + data.readUInt32LE(offset + 4);
    const message = data.subarray(offset, offset + end);
    offset += end;
    if (type !== 2 && type !== 3) continue;
    replies.set(replySerial(message, fieldsEnd), type === 3 ? [] : parseVariant(message.subarray(bodyStart)));
  }
  return replies;
}

function replySerial(message: Buffer, fieldsEnd: number): number {
  let at = 16;
  while (at < fieldsEnd) {
    at = (at + 7) & ~7;
    const code = message[at];
    const type = message.toString('latin1', at + 2, at + 3);
    at += 4;
    if (type === 'u') {
      at = (at + 3) & ~3;
      if (code === 5) return message.readUInt32LE(at);
      at += 4;
    } else if (type === 'g') at += 2 + (message[at] ?? 0);
    else {
      at = (at + 3) & ~3;
      at += 4 + message.readUInt32LE(at) + 1;
    }
  }
  throw new Error('a reply without the serial of its call');
}

function parseVariant(body: Buffer): string[] {
  const length = body[0] ?? 0;
  const signature = body.toString('latin1', 1, 1 + length);
  let at = 2 + length;
  const string = (): string => {
    at = (at + 3) & ~3;
    const size = body.readUInt32LE(at);
    at += 4 + size + 1;
    return body.toString('utf8', at - size - 1, at - 1);
  };
  switch (signature) {
    case 's':
      return [string()];
    case 't': {
      const value = body.readBigUInt64LE((at + 7) & ~7);
      return [value === 2n ** 64n - 1n ? 'infinity' : String(value)];
    }
    case 'as': {
      at = (at + 3) & ~3;
      const end = at + 4 + body.readUInt32LE(at);
      at += 4;
      const strings: string[] = [];
      while (at < end) strings.push(string());
      return strings;
    }
    default:
      throw new Error(`a property of type ${signature}`);
  }
}
