"use strict";

// Draws each figure's table as a chart, by Chart.js. Without Chart.js, and for those who cannot see it, there is the table.
(() => {
  const drawn = new WeakMap();

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const colours = (count, others) =>
    Array.from({ length: count }, (_, index) =>
      others && index === count - 1
        ? colour("--agents-others")
        : colour(`--agents-${(index % 8) + 1}`),
    );

  const read = (figure) => {
    const table = figure.querySelector("table");
    const rows = [...table.tBodies[0].rows];
    const heads = [...table.tHead.rows[0].cells].slice(1);
    return {
      labels: rows.map((row) => row.cells[0].textContent.trim()),
      others:
        heads.some((cell) => "others" in cell.dataset) ||
        rows.some((row) => "others" in row.cells[0].dataset),
      series: heads.map((head, index) => ({
        label: head.textContent.trim(),
        values: rows.map((row) => Number(row.cells[index + 1].dataset.value)),
        texts: rows.map((row) => row.cells[index + 1].textContent.trim()),
      })),
    };
  };

  const axis = (unit) => {
    const dollars = { style: "currency", currency: "USD" };
    const format = (options) => new Intl.NumberFormat(document.documentElement.lang, options);
    const percent = format({ style: "percent", maximumFractionDigits: 1 });
    const number = format({ notation: "compact" });
    const whole = format({ ...dollars, maximumFractionDigits: 0 });
    const cents = format({ ...dollars, minimumFractionDigits: 2, maximumFractionDigits: 4 });
    return {
      money: (value) => (Number.isInteger(value) ? whole : cents).format(value),
      percent: (value) => percent.format(value),
      number: (value) => number.format(value),
    }[unit];
  };

  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    const data = read(figure);
    const some = data.series.some((one) => one.values.some((value) => value));
    plot.hidden = !some || !window.Chart;
    const before = drawn.get(figure);
    const theme = document.documentElement.getAttribute("data-bs-theme");
    const now = JSON.stringify([data, theme]);
    if (plot.hidden || before?.data === now) {
      return;
    }
    before?.chart.destroy();
    const { chart: kind, unit, flat } = figure.dataset;
    const lying = flat === "true";
    const line = kind === "line";
    const palette = colours(data.series.length, data.others && !lying);
    const text = colour("--bs-body-color");
    const grid = colour("--bs-border-color");
    const measured = {
      beginAtZero: true,
      stacked: !line && !lying,
      grid: { color: grid },
      ticks: { color: text, callback: axis(unit), maxTicksLimit: 6, ...(unit === "number" && { precision: 0 }) },
      ...(unit === "percent" && { suggestedMax: 0.1 }),
    };
    const named = {
      stacked: !line && !lying,
      grid: { display: false },
      ticks: { color: text, autoSkip: !lying, maxRotation: 0 },
    };
    const chart = new window.Chart(plot.querySelector("canvas"), {
      type: line ? "line" : "bar",
      data: {
        labels: data.labels,
        datasets: data.series.map((one, index) => ({
          label: one.label,
          data: one.values,
          backgroundColor: palette[index],
          borderColor: line ? palette[index] : colour("--bs-body-bg"),
          borderWidth: line ? 2 : { top: 1 },
          borderDash: line && index ? [6, 3] : [],
          pointRadius: line ? 2 : 0,
          maxBarThickness: lying ? 22 : 48,
        })),
      },
      options: {
        animation: before || matchMedia("(prefers-reduced-motion: reduce)").matches ? false : { duration: 300 },
        indexAxis: lying ? "y" : "x",
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false, axis: lying ? "y" : "x" },
        scales: lying ? { x: measured, y: named } : { x: named, y: measured },
        plugins: {
          legend: { display: data.series.length > 1, position: "bottom", labels: { color: text, boxWidth: line ? 24 : 12, usePointStyle: line, pointStyle: "line" } },
          tooltip: {
            filter: (item) => item.raw !== 0,
            callbacks: {
              label: (item) => `${item.dataset.label}: ${data.series[item.datasetIndex].texts[item.dataIndex]}`,
            },
          },
        },
      },
    });
    drawn.set(figure, { chart, data: now });
  };

  const drawAll = () => document.querySelectorAll("figure.chart").forEach(draw);

  document.addEventListener("agents:refreshed", drawAll);
  new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  drawAll();
})();
