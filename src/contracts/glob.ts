/** `*` stands for any characters, `?` for one. Linear in both, unlike the regular expression it could be turned into. */
export function matchesGlob(glob: string, name: string): boolean {
  let [g, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    if (glob[g] === '*') [star, mark, g] = [g, n, g + 1];
    else if (g < glob.length && (glob[g] === '?' || glob[g] === name[n])) [g, n] = [g + 1, n + 1];
    else if (star >= 0) [g, mark, n] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  return /^\**$/.test(glob.slice(g));
}
