(() => {
  "use strict";

  // Missing values stay last whichever way a column is sorted.
  const order = (sign) => (a, b) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : sign * (a - b));

  function makeTable(table) {
    DataTable.type("missing-last", "order", {
      pre: (value) => (value === "" ? null : Number(value)),
      asc: order(1),
      desc: order(-1),
    });
    new DataTable(table, {
      paging: false,
      autoWidth: false,
      order: [],
      layout: { topStart: "search", topEnd: null, bottomStart: "info", bottomEnd: null },
      language: { search: "Search", info: "_TOTAL_ rows", infoEmpty: "0 rows", infoFiltered: "of _MAX_", zeroRecords: "No model matches." },
      columnDefs: [
        { targets: "higher", type: "missing-last", orderSequence: ["desc", "asc"] },
        { targets: "num", type: "missing-last", orderSequence: ["asc", "desc"] },
        { targets: "_all", orderSequence: ["asc", "desc"] },
      ],
    });
  }

  function makeChart(data, form, place, note) {
    const draw = () => {
      const cost = Number(form.elements.cost.value);
      const score = Number(form.elements.score.value);
      const points = data.points.map(({ model, group, costs, scores }) => ({ model, group, cost: costs[cost], score: scores[score] }));
      const complete = points.filter((p) => p.cost !== null && p.score !== null);
      const absent = points.filter((p) => p.cost === null || p.score === null).map((p) => p.model);
      const titles = { "cost:Q": data.costs[cost], "score:Q": data.scores[score] };
      const spec = structuredClone(data.spec);
      spec.data = { values: complete };
      spec.width = Math.max(240, place.clientWidth - 72);
      for (const channel of [spec.layer[0].encoding.color, spec.layer[0].encoding.shape]) {
        channel.legend.columns = Math.max(1, Math.floor(spec.width / 180));
      }
      for (const layer of spec.layer) {
        layer.encoding.x.title = titles["cost:Q"];
        layer.encoding.y.title = titles["score:Q"];
        for (const line of layer.encoding.tooltip) {
          line.title = titles[`${line.field}:Q`] ?? line.title;
        }
      }
      note.textContent = absent.length ? `Not drawn, for want of one of the two: ${absent.join(", ")}.` : "";
      return vegaEmbed(place, spec, { mode: "vega-lite", renderer: "svg", actions: false, ast: true });
    };
    form.hidden = false;
    form.addEventListener("change", draw);
    form.addEventListener("submit", (event) => event.preventDefault());
    window.matchMedia("(max-width: 40rem)").addEventListener("change", draw);
    return draw();
  }

  makeTable(document.getElementById("board"));
  const data = document.getElementById("chart-data");
  if (data) {
    makeChart(
      JSON.parse(data.textContent),
      document.getElementById("chart-choice"),
      document.getElementById("chart"),
      document.getElementById("chart-note"),
    );
  }
})();
