/**
 * Small pieces of the page. Text is always text: what people type is never HTML.
 */

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  text = ''
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

export function pressed(label: string, onPress: () => void): HTMLButtonElement {
  const button = element('button', 'jp-Button jp-mod-styled aiinfn-Button', label);
  button.type = 'button';
  button.addEventListener('click', onPress);
  return button;
}
