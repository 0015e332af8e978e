package dev.finetune4j.lora.report;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.io.AtomicFile;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.loop.MovingAverage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Draws the loss over the steps of a training, as it was and smoothed. Stateless. */
public final class LossCurve {
    private LossCurve() {}

    /**
     * Writes a PNG picture of 900 × 540 pixels.
     *
     * @throws IllegalArgumentException if there are no steps
     * @throws FineTune4jException when the file cannot be written
     */
    public static void writePng(Path file, List<StepReport> steps) {
        if (steps.isEmpty()) {
            throw new IllegalArgumentException("there is no step to draw");
        }
        double[] x = steps.stream().mapToDouble(StepReport::step).toArray();
        double[] loss = steps.stream().mapToDouble(StepReport::loss).toArray();
        write(file, "training loss", x, loss);
    }

    /**
     * The same of the losses on held-out examples.
     *
     * @throws IllegalArgumentException if there are none that are numbers
     * @throws FineTune4jException when the file cannot be written
     */
    public static void writeEvaluationPng(Path file, List<TrainingReport.Evaluation> evaluations) {
        List<TrainingReport.Evaluation> measured = evaluations.stream()
                .filter(evaluation -> Double.isFinite(evaluation.loss()))
                .toList();
        if (measured.isEmpty()) {
            throw new IllegalArgumentException("there is no evaluation to draw");
        }
        double[] x =
                measured.stream().mapToDouble(TrainingReport.Evaluation::step).toArray();
        double[] loss =
                measured.stream().mapToDouble(TrainingReport.Evaluation::loss).toArray();
        write(file, "evaluation loss", x, loss);
    }

    private static void write(Path file, String title, double[] steps, double... loss) {
        boolean interrupted = Thread.interrupted(); // which Java's graphics would take for themselves
        try {
            Path parent = file.toAbsolutePath().getParent();
            if (parent != null) {
                Files.createDirectories(parent);
            }
            ByteArrayOutputStream picture = new ByteArrayOutputStream();
            ImageIO.write(BitmapEncoder.getBufferedImage(chart(title, steps, loss)), "png", picture);
            AtomicFile.write(file, picture.toByteArray());
        } catch (LinkageError | InternalError e) {
            throw new FineTune4jException(
                    file + ": the loss curve could not be drawn (" + e
                            + "); Java's graphics need the fontconfig library and a font on this machine",
                    e);
        } catch (IOException e) {
            throw new FineTune4jException(
                    file + ": the loss curve could not be written (" + e + "); check space and rights", e);
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static XYChart chart(String title, double[] steps, double... loss) {
        XYChart chart = new XYChartBuilder()
                .width(900)
                .height(540)
                .title(title)
                .xAxisTitle("step")
                .yAxisTitle("loss (nats per token)")
                .theme(Styler.ChartTheme.XChart)
                .build();
        chart.getStyler().setYAxisMin(0.0);
        chart.getStyler().setLegendPosition(Styler.LegendPosition.InsideNE);
        chart.getStyler().setChartBackgroundColor(java.awt.Color.WHITE);
        add(chart, "loss", steps, loss, new java.awt.Color(160, 190, 225), 1.2f);
        add(chart, "smoothed", steps, MovingAverage.of(loss), new java.awt.Color(25, 90, 165), 2.4f);
        return chart;
    }

    private static void add(XYChart chart, String name, double[] x, double[] y, java.awt.Color color, float width) {
        XYSeries series = chart.addSeries(name, x, y);
        series.setMarker(SeriesMarkers.NONE);
        series.setLineColor(color);
        series.setLineWidth(width);
    }
}
