/** Of all that hold nothing: never pushed to. */
const NOTHING: Array<never> = []

/** A binary heap ordered by `less`: the first element is always at hand, whatever the number of elements. */
export class Heap<A> {
  declare private items: Array<A>
  declare private readonly less: (a: A, b: A) => boolean
  constructor(less: (a: A, b: A) => boolean) {
    this.less = less
    this.items = NOTHING
  }
  clear(): void {
    this.items = NOTHING
  }
  peek(): A | undefined {
    return this.items[0]
  }
  push(item: A): void {
    const { items, less } = this
    if (items.length === 0) {
      this.items = Array.of(item) // most heaps never hold more, and pushing to an empty array makes room for many
      return
    }
    let i = items.push(item) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!less(item, items[parent]!)) break
      items[i] = items[parent]!
      i = parent
    }
    items[i] = item
  }
  pop(): A | undefined {
    const { items, less } = this
    const first = items[0]
    const last = items.pop()
    if (items.length > 0 && last !== undefined) {
      let i = 0
      for (;;) {
        let child = 2 * i + 1
        if (child >= items.length) break
        if (child + 1 < items.length && less(items[child + 1]!, items[child]!)) child++
        if (!less(items[child]!, last)) break
        items[i] = items[child]!
        i = child
      }
      items[i] = last
    }
    return first
  }
}
