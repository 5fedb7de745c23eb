/**
 * A map that shows each value of another map in a different light, when it is asked and not before.
 */
export class View<A, B> implements ReadonlyMap<string, B> {
  private readonly source: ReadonlyMap<string, A>
  private readonly show: (value: A) => B

  constructor(source: ReadonlyMap<string, A>, show: (value: A) => B) {
    this.source = source
    this.show = show
  }
  get size(): number {
    return this.source.size
  }
  has(key: string): boolean {
    return this.source.has(key)
  }
  get(key: string): B | undefined {
    const value = this.source.get(key)
    return value === undefined ? undefined : this.show(value)
  }
  keys(): MapIterator<string> {
    return this.source.keys()
  }
  *values(): MapIterator<B> {
    for (const value of this.source.values()) yield this.show(value)
  }
  *entries(): MapIterator<[string, B]> {
    for (const [key, value] of this.source) yield [key, this.show(value)]
  }
  [Symbol.iterator](): MapIterator<[string, B]> {
    return this.entries()
  }
  forEach(f: (value: B, key: string, map: ReadonlyMap<string, B>) => void): void {
    for (const [key, value] of this.entries()) f(value, key, this)
  }
}
