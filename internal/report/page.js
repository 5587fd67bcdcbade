// Shows the values of a chart where it is pointed at: in the legend, and the moment below the axis.
for (const figure of document.querySelectorAll('figure[data-chart]')) {
  const lines = readings[figure.dataset.chart];
  const values = figure.querySelectorAll('.legend b');
  const nearest = (points, x) =>
    points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
  // A line has no value where it has no point nearby: there is a gap, or it has ended.
  const at = ({ points }, x) => {
    if (!points.length) return null;
    const found = nearest(points, x);
    const apart = (points[points.length - 1][0] - points[0][0]) / Math.max(1, points.length - 1);
    return Math.abs(found[0] - x) <= Math.max(60, apart) ? found : null;
  };
  for (const svg of figure.querySelectorAll('.plot')) {
    const [left, right, top, bottom] = svg.dataset.plot.split(' ').map(Number);
    const axis = svg.querySelector('.axis');
    const label = axis.textContent;
    const make = (name, attributes, parent) => {
      const made = document.createElementNS(svg.namespaceURI, name);
      for (const key in attributes) made.setAttribute(key, attributes[key]);
      return parent.appendChild(made);
    };
    let cursor = null;
    const hide = () => {
      cursor?.remove();
      cursor = null;
      axis.textContent = label;
      for (const value of values) value.textContent = '';
    };
    const show = (event) => {
      hide();
      const place = new DOMPoint(event.clientX, event.clientY);
      const x = ((place.matrixTransform(svg.getScreenCTM().inverse()).x - left) / (right - left)) * 1e4;
      const points = lines.flatMap((line) => line.points);
      if (!points.length || x < -300 || x > 10300) return;
      const moment = nearest(points, x);
      const px = (place) => left + (place / 1e4) * (right - left);
      cursor = make('g', { class: 'cursor' }, svg);
      make('path', { d: `M${px(moment[0])},${top}V${bottom}` }, cursor);
      lines.forEach((line, i) => {
        const point = at(line, moment[0]);
        values[i].textContent = point ? point[3] : '–';
        if (!point) return;
        const y = bottom - (point[1] / 1e4) * (bottom - top);
        make('circle', { class: 'dot ' + line.class, cx: px(point[0]), cy: y, r: 4 }, cursor);
      });
      axis.textContent = `${label}: ${moment[2]}`;
    };
    svg.addEventListener('pointermove', show);
    svg.addEventListener('pointerdown', show);
    svg.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && hide());
  }
}
