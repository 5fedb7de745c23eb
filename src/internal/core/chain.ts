/** What may stand in a chain: in one at a time. */
export interface Link<A> {
  before: A | undefined
  after: A | undefined
}

/**
 * A set in the order of insertion, whose elements know their neighbours. (What thousands go through should be no `Set`: it
 * leaves its old tables behind, each pointing to the next, and one of them that has grown old keeps all that went through
 * it later, for the collector of young objects.)
 */
export class Chain<A extends Link<A>> implements Iterable<A> {
  size = 0
  private first: A | undefined
  private last: A | undefined

  add(a: A): void {
    const { last } = this
    a.before = last
    if (last === undefined) this.first = a
    else last.after = a
    this.last = a
    this.size++
  }

  /** It must stand in this chain. */
  delete(a: A): void {
    const { after, before } = a
    if (before === undefined) this.first = after
    else before.after = after
    if (after === undefined) this.last = before
    else after.before = before
    a.before = a.after = undefined
    this.size--
  }

  *[Symbol.iterator](): IterableIterator<A> {
    for (let at = this.first; at !== undefined;) {
      const { after } = at // it may be taken out meanwhile
      yield at
      at = after
    }
  }
}
