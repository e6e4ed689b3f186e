(() => {
  "use strict";
  const config = JSON.parse(document.getElementById("charts").textContent);
  // `ast` interprets expressions, which would be evaluated as code otherwise: the policy of the page forbids it.
  const options = {
    config, mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  const views = new Map();
  const draw = (chart) => {
    if (!views.has(chart)) {
      const spec = JSON.parse(chart.querySelector("script").textContent);
      views.set(chart, window.vegaEmbed(chart, spec, options).then((found) => found.view));
    }
    return views.get(chart);
  };
  const charts = [...document.querySelectorAll(".chart")];
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "100% 0px" });
  charts.forEach((chart) => observer.observe(chart));
  addEventListener("beforeprint", () => charts.forEach(draw));

  for (const legend of document.querySelectorAll("figure:has(.chart) .legend")) {
    const chart = legend.parentElement.querySelector(".chart");
    const buttons = [...legend.children].map((item) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.append(...item.childNodes);
      item.append(button);
      return button;
    });
    const isPressed = (button) => button.getAttribute("aria-pressed") === "true";
    const choose = async ({ currentTarget }) => {
      currentTarget.setAttribute("aria-pressed", String(!isPressed(currentTarget)));
      const view = await draw(chart);
      view.signal("chosen", buttons.filter(isPressed).map((button) => button.textContent)).runAsync();
    };
    buttons.forEach((button) => button.addEventListener("click", choose));
  }
})();
