/** An attribute as it stands in DynamoDB's JSON; bytes are base64. */
export type Attribute = { readonly B: string } | { readonly S: string } | { readonly N: string };
export type StubItem = Readonly<Record<string, Attribute>>;

/** Thrown for what DynamoDB would refuse as malformed. */
export class InvalidRequest extends Error {
  override readonly name = "InvalidRequest";
}

/**
 * DynamoDB's condition expressions, as far as anybody here writes them: comparisons, `BETWEEN`, `attribute_exists`,
 * `attribute_not_exists`, `AND`, `OR`, `NOT`. A comparison with an attribute that is not there does not hold, but `<>` does.
 */
export function holds(
  expression: string,
  values: Readonly<Record<string, Attribute>>,
  item: StubItem | undefined,
): boolean {
  const parser = new Parser(expression, values, item ?? {});
  const result = parser.any();
  if (!parser.atEnd) throw new InvalidRequest(`cannot read ${expression}`);
  const unused = Object.keys(values).filter((name) => !parser.used.has(name));
  if (unused.length > 0) throw new InvalidRequest(`${unused} unused in expression`);
  return result;
}

class Parser {
  readonly used = new Set<string>();
  readonly #tokens: string[];
  readonly #values: Readonly<Record<string, Attribute>>;
  readonly #item: StubItem;

  constructor(expression: string, values: Readonly<Record<string, Attribute>>, item: StubItem) {
    this.#tokens = expression.match(/<>|<=|>=|[(),=<>]|:?\w+/g) ?? [];
    this.#values = values;
    this.#item = item;
  }

  get atEnd(): boolean {
    return this.#tokens.length === 0;
  }

  any(): boolean {
    let result = this.#all();
    // Both sides are read whatever the first one says, as DynamoDB checks the whole expression.
    while (this.#take("OR")) result = this.#all() || result;
    return result;
  }

  #all(): boolean {
    let result = this.#one();
    while (this.#take("AND")) result = this.#one() && result;
    return result;
  }

  #one(): boolean {
    if (this.#take("NOT")) return !this.#one();
    if (this.#take("(")) return this.#closed(this.any());
    for (const exists of [true, false]) {
      if (!this.#take(exists ? "attribute_exists" : "attribute_not_exists")) continue;
      this.#expect("(");
      return this.#closed((this.#operand() !== undefined) === exists);
    }
    const left = this.#operand();
    if (this.#take("BETWEEN")) {
      const low = this.#operand();
      this.#expect("AND");
      const high = this.#operand();
      if (low && high && compare(low, high) > 0)
        throw new InvalidRequest("the bounds of BETWEEN are crossed");
      return compares(left, ">=", low) && compares(left, "<=", high);
    }
    const operator = this.#tokens.shift() ?? "";
    return compares(left, operator, this.#operand());
  }

  #operand(): Attribute | undefined {
    const token = this.#tokens.shift() ?? "";
    if (!token.startsWith(":")) return this.#item[token];
    this.used.add(token);
    const value = this.#values[token];
    if (value === undefined) throw new InvalidRequest(`${token} is not defined`);
    return value;
  }

  #closed(result: boolean): boolean {
    this.#expect(")");
    return result;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new InvalidRequest(`${token} expected`);
  }

  #take(token: string): boolean {
    if (this.#tokens[0] !== token) return false;
    this.#tokens.shift();
    return true;
  }
}

function compares(left: Attribute | undefined, operator: string, right: Attribute | undefined) {
  if (left === undefined || right === undefined) return operator === "<>";
  const order = compare(left, right);
  switch (operator) {
    case "=":
      return order === 0;
    case "<>":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
    default:
      throw new InvalidRequest(`${operator} is no comparison`);
  }
}

/** Strings and bytes as bytes, numbers as numbers; never one with the other. */
export function compare(left: Attribute, right: Attribute): number {
  if ("N" in left && "N" in right) return Number(left.N) - Number(right.N);
  return Buffer.compare(bytesOf(left), bytesOf(right));
}

export function bytesOf(attribute: Attribute): Buffer {
  if ("B" in attribute) return Buffer.from(attribute.B, "base64");
  if ("S" in attribute) return Buffer.from(attribute.S);
  throw new InvalidRequest("a number is no bytes");
}

/** DynamoDB's published size of an item: names and values; a Number has a byte for two digits and one more. */
export function itemSize(item: StubItem): number {
  const sizes = Object.entries(item).map(([name, attribute]) => {
    const size = "N" in attribute ? numberSize(attribute.N) : bytesOf(attribute).length;
    return Buffer.byteLength(name) + size;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

function numberSize(digits: string): number {
  const significant = digits.replace(/[-.]/g, "").replace(/^0+|0+$/g, "");
  return Math.ceil(significant.length / 2) + 1;
}
