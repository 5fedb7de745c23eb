/** What may stand in a heap: in one at a time. */
export interface Node<A> {
  child: A | undefined
  next: A | undefined
}

/**
 * A heap ordered by `less`: the first element is always at hand, whatever the number of elements. (A pairing heap, whose
 * elements know each other: there may be ten thousand heaps, and most never hold more than one.)
 */
export class Heap<A extends Node<A>> {
  private first: A | undefined
  declare private readonly less: (a: A, b: A) => boolean
  constructor(less: (a: A, b: A) => boolean) {
    this.less = less
  }
  clear(): void {
    this.first = undefined
  }
  peek(): A | undefined {
    return this.first
  }
  push(item: A): void {
    const { first } = this
    this.first = first === undefined ? item : this.meld(first, item)
  }
  pop(): A | undefined {
    const { first } = this
    if (first === undefined) return undefined
    // its children two by two, and then all of those
    let pairs: A | undefined
    for (let a = first.child; a !== undefined;) {
      const b: A | undefined = a.next
      const rest: A | undefined = b?.next
      const pair: A = b === undefined ? a : this.meld(a, b)
      pair.next = pairs
      pairs = pair
      a = rest
    }
    let whole: A | undefined
    while (pairs !== undefined) {
      const { next }: A = pairs
      pairs.next = undefined
      whole = whole === undefined ? pairs : this.meld(whole, pairs)
      pairs = next
    }
    this.first = whole
    first.child = undefined
    return first
  }
  /** The earlier of two, with the other below it. */
  private meld(a: A, b: A): A {
    if (this.less(b, a)) return this.put(a, b)
    return this.put(b, a)
  }
  private put(below: A, above: A): A {
    below.next = above.child
    above.child = below
    above.next = undefined
    return above
  }
}
