"""An Azure Function that acts on registered models. Subscribe it as `azurefunction` (docs/integrations.md)."""

import logging

import azure.functions as func

app = func.FunctionApp()


@app.event_grid_trigger(arg_name="event")
def on_model_registered(event: func.EventGridEvent) -> None:
    model = event.get_json()
    logging.info("%s version %s is champion: %s", model["model"], model["version"], model["champion"])
