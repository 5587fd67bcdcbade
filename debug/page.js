// Shows the page anew every two seconds: what is unfolded stays so, and the place that is read.
(() => {
  const every = 2000;
  const follow = document.getElementById('follow');
  const silent = document.getElementById('silent');
  let heard = Date.now();
  follow.parentElement.hidden = false;
  try {
    follow.checked = sessionStorage.getItem('follow') !== 'no';
    follow.addEventListener('change', () =>
      sessionStorage.setItem('follow', follow.checked ? 'yes' : 'no'));
  } catch { /* no storage: the switch is on after a reload */ }
  const busy = () =>
    !follow.checked || document.hidden || String(document.getSelection()).length > 0;
  const show = (text) => {
    const next = new DOMParser().parseFromString(text, 'text/html');
    const main = next.querySelector('main');
    if (!main) throw new Error('not the page');
    const old = document.querySelector('main');
    for (const d of old.querySelectorAll('details[id]')) {
      const same = next.getElementById(d.id);
      if (same) same.open = d.open;
    }
    const kept = [...old.querySelectorAll('.scroll[id]')].map((s) => [s.id, s.scrollLeft]);
    const focus = document.activeElement?.closest('details[id]')?.id;
    const [x, y] = [scrollX, scrollY];
    old.replaceWith(document.adoptNode(main));
    document.getElementById('when').replaceWith(document.adoptNode(next.getElementById('when')));
    for (const [id, left] of kept) {
      const same = document.getElementById(id);
      if (same) same.scrollLeft = left;
    }
    if (focus) document.getElementById(focus)?.querySelector('summary').focus({ preventScroll: true });
    scrollTo(x, y);
  };
  const turn = async () => {
    if (!busy()) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
        if (!answer.ok) throw new Error(answer.statusText);
        const text = await answer.text();
        if (!busy()) show(text);
        heard = Date.now();
        silent.hidden = true;
      } catch (problem) {
        silent.hidden = false;
        silent.textContent = `No answer for ${Math.round((Date.now() - heard) / 1000)} s (${problem.message}). This is what was last seen.`;
      }
    }
    setTimeout(turn, every);
  };
  setTimeout(turn, every);
})();
