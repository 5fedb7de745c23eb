/**
 * Globals that Effect's Schema reads when it is loaded, under names of their own. Reading a property of `globalThis` might
 * run code, as far as esbuild knows: it would keep five schemas that nobody uses, with all that they need.
 */
export const globalFile = File
export const globalRegExp = RegExp
export const globalUint8Array = Uint8Array
export const globalURL = URL
export const globalURLSearchParams = URLSearchParams
