/** Wait until something holds; fails after a while that is shorter than Jest's own limit, so that nothing is left. */
export async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!holds()) {
    if (Date.now() > deadline) {
      throw new Error(`This never held: ${String(holds)}`);
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
